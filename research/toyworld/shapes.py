"""The shapes of Toyworld's networks and of the micro model for tests: diffusers' and transformers' classes, small."""

from dataclasses import dataclass

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel


@dataclass(frozen=True)
class Shape:
    """How large each network is. Channels are per resolution, from the finest."""

    image_px: int = 64
    vae_channels: tuple[int, ...] = (32, 64, 96)
    unet_channels: tuple[int, ...] = (64, 96, 112)
    unet_attends: tuple[bool, ...] = (False, True, True)  # at the finest resolution it costs more than it brings
    text_width: int = 160
    text_layers: int = 3
    text_tokens: int = 48
    norm_groups: int = 16
    vae_norm_groups: int = 16
    latent_channels: int = 4

    @property
    def latent_px(self) -> int:
        """Side of the latent: the VAE halves the picture between each pair of its resolutions."""
        return int(self.image_px // 2 ** (len(self.vae_channels) - 1))


TOYWORLD = Shape()
# Latents have the sides they have at 64 px, so a step of the denoiser costs the same. Norms span several channels even
# of the finest level: one that spans a single channel takes away how bright the picture is as a whole.
TOYWORLD_128 = Shape(image_px=128, vae_channels=(16, 32, 64, 96), vae_norm_groups=4, latent_channels=8)
SHAPES = {64: TOYWORLD, 128: TOYWORLD_128}
MICRO = Shape(
    image_px=32,
    vae_channels=(8, 16),
    unet_channels=(16, 32),
    unet_attends=(False, True),
    text_width=32,
    text_layers=1,
    text_tokens=32,
    norm_groups=8,
    vae_norm_groups=8,
)


def build_vae(shape: Shape) -> AutoencoderKL:
    """Build the autoencoder: 3 × px × px to its latent channels. No attention, so that it may train on crops."""
    levels = len(shape.vae_channels)
    return AutoencoderKL(
        block_out_channels=shape.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=shape.latent_channels,
        norm_num_groups=shape.vae_norm_groups,
        sample_size=shape.image_px,
        mid_block_add_attention=False,
    )


def build_unet(shape: Shape) -> UNet2DConditionModel:
    """Build the denoiser, with self- and cross-attention where the shape says."""
    down = tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in shape.unet_attends)
    up = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(shape.unet_attends))
    return UNet2DConditionModel(
        sample_size=shape.latent_px,
        in_channels=shape.latent_channels,
        out_channels=shape.latent_channels,
        layers_per_block=1,
        block_out_channels=shape.unet_channels,
        down_block_types=down,
        up_block_types=up,
        cross_attention_dim=shape.text_width,
        attention_head_dim=4,  # the number of heads, in spite of the name: diffusers' issue 2011
        norm_num_groups=shape.norm_groups,
    )


def build_text_encoder(shape: Shape, vocabulary: int, end_token: int) -> CLIPTextModel:
    """Build the text encoder for a tokenizer of `vocabulary` tokens whose last is `end_token`."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=shape.text_width,
            intermediate_size=3 * shape.text_width,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=4,
            max_position_embeddings=shape.text_tokens,
            projection_dim=shape.text_width,
            bos_token_id=end_token - 1,
            eos_token_id=end_token,
            pad_token_id=end_token,
        )
    )
