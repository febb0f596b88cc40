"""The networks of a Stable Diffusion: a UNet, and one or two of CLIP's text encoders.

Stable Diffusion 1.x and 2.x have one text encoder. SDXL (Podell et al. 2023, arXiv 2307.01952) has two, whose readings
stand side by side, and tells the UNet the picture's size and the whole prompt's meaning besides.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from trainer.models.denoiser import Denoiser, Text, TextEmbeddings
from trainer.models.stable_diffusion import attention

LATENT_PX = 8  # pixels of one of SDXL's latents, each way
MAPS = 24  # feature maps of the UNet's first width that are held at once in a pass, about
UNET_LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj"]
ORIGINAL = {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}  # all know these so


class UNetDenoiser(Denoiser):
    """Weights are named `unet.…`, `text_encoder.…` and `text_encoder_2.…`."""

    backbone_part = "unet"
    block_kinds = (BasicTransformerBlock, ResnetBlock2D, CLIPEncoderLayer)

    def __init__(self, unet: Any, text_encoder: Any, text_encoder_2: Any = None) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.text_encoder_2 = unet, text_encoder, text_encoder_2
        self.has_idle_layers = text_encoder_2 is not None  # SDXL does not use the last layer of its first one
        self.is_plain = attention.simplify(unet)

    @property
    def backbone(self) -> Any:
        """The UNet."""
        return self.unet

    @property
    def text_encoders(self) -> list[Any]:
        """One, or SDXL's two."""
        return [self.text_encoder] if self.text_encoder_2 is None else [self.text_encoder, self.text_encoder_2]

    def read(self, ids: Sequence[Tensor]) -> TextEmbeddings:
        """Read prompts: their token ids, n × tokens, by each text encoder's own tokenizer."""
        if self.text_encoder_2 is None:
            return TextEmbeddings(self.text_encoder(ids[0]).last_hidden_state)
        one, two = (encoder(of, output_hidden_states=True) for encoder, of in zip(self.text_encoders, ids, strict=True))
        return TextEmbeddings(torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1), two.text_embeds)

    def forward(self, noisy: Tensor, t: Tensor, text: Text) -> Tensor:
        """Predict noise or velocity in latents, b × 4 × h × w, at timesteps `t`."""
        reading = (text if isinstance(text, TextEmbeddings) else self.read(text)).spread(len(noisy))
        added = None
        if reading.pooled is not None:
            height_px, width_px = (LATENT_PX * side for side in noisy.shape[2:])
            sizes = _sizes(height_px, width_px, noisy.device).expand(len(noisy), 6)
            added = {"text_embeds": reading.pooled, "time_ids": sizes}
        latents = noisy.to(self.unet.conv_in.weight.dtype)
        looks = {"kept": reading.kept} if self.is_plain and reading.kept is not None else None
        predicted: Tensor = self.unet(
            latents, t, reading.tokens, added_cond_kwargs=added, cross_attention_kwargs=looks
        ).sample
        return predicted.to(noisy.dtype)

    def empty_ids(self, prompts: int, device: torch.device | str) -> list[Tensor]:
        """As many as the positions of each text encoder."""
        lengths = [encoder.config.max_position_embeddings for encoder in self.text_encoders]
        return [torch.empty(prompts, length, dtype=torch.long, device=device) for length in lengths]

    def row_bytes(self, latents: int) -> int:
        """The feature maps at the finest resolution."""
        element_bytes = self.unet.conv_in.weight.element_size()
        return int(MAPS * self.unet.config.block_out_channels[0] * latents * element_bytes)

    def adapter_targets(self, text: bool) -> list[tuple[nn.Module, list[str]]]:
        """The projections of attention."""
        return [(self.unet, UNET_LAYERS)] + [(encoder, TEXT_LAYERS) for encoder in self.text_encoders if text]

    def file_names(self) -> dict[str, str]:
        """As kohya's scripts name layers: `lora_unet_down_blocks_0_…_to_q`, `lora_te_text_model_…_q_proj`."""
        two = self.text_encoder_2 is not None
        begins = {"unet": "lora_unet", "text_encoder": "lora_te1" if two else "lora_te", "text_encoder_2": "lora_te2"}
        names = {}
        for path, _ in self.named_modules():
            part, _, rest = path.partition(".")
            if part.startswith("text") and not rest.startswith(("text_model", "text_projection")):
                rest = f"text_model.{rest}"
            if rest:
                names[path] = f"{begins[part]}_{ORIGINAL.get(rest, rest).replace('.', '_')}"
        return names


@cache  # to make it anew at each step would have the step wait for the device
def _sizes(height_px: int, width_px: int, device: torch.device) -> Tensor:
    """What SDXL is told of a picture: its size as a photo, where it was cropped, its size. A whole one here."""
    return torch.tensor([height_px, width_px, 0, 0, height_px, width_px], dtype=torch.float32, device=device)
