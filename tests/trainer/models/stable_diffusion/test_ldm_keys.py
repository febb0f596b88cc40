"""The original layout's names and shapes of the real architectures, built by their published settings alone.

diffusers' own functions, which read files of that layout, find every weight in them again.
"""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.models.key_locations import gathered, picked
from trainer.models.stable_diffusion import single_file
from trainer.models.stable_diffusion.denoiser import UNetDenoiser
from trainer.models.stable_diffusion.ldm_keys import places

BLOCKS = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
UNETS: dict[str, dict[str, Any]] = {
    "sd1": {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {
        "block_out_channels": (320, 640, 1280, 1280),
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "sdxl": {
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
ENCODERS: dict[str, dict[str, Any]] = {
    "CLIP ViT-L": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "OpenCLIP ViT-H": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
    },
    "OpenCLIP ViT-bigG": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "hidden_act": "gelu",
        "projection_dim": 1280,
    },
}
READ_BY = {"sd1": ["CLIP ViT-L"], "sd2": ["OpenCLIP ViT-H"], "sdxl": ["CLIP ViT-L", "OpenCLIP ViT-bigG"]}
FACTS: dict[str, dict[str, tuple[int, ...]]] = {  # some of what is in the files that were published
    "sd1": {
        "model.diffusion_model.time_embed.0.weight": (1280, 320),
        "model.diffusion_model.input_blocks.1.1.proj_in.weight": (320, 320, 1, 1),
        "model.diffusion_model.input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, 768),
        "model.diffusion_model.output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
        "model.diffusion_model.output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
        "model.diffusion_model.out.2.weight": (4, 320, 3, 3),
        "first_stage_model.encoder.mid.attn_1.q.weight": (512, 512, 1, 1),
        "first_stage_model.encoder.down.1.block.0.nin_shortcut.weight": (256, 128, 1, 1),
        "first_stage_model.decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
        "first_stage_model.decoder.up.0.block.0.conv1.weight": (128, 256, 3, 3),
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 768),
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight": (3072, 768),
    },
    "sd2": {
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
        "model.diffusion_model.input_blocks.1.1.proj_in.weight": (320, 320),
        "cond_stage_model.model.positional_embedding": (77, 1024),
        "cond_stage_model.model.transformer.resblocks.22.attn.in_proj_weight": (3072, 1024),
        "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias": (3072,),
        "cond_stage_model.model.transformer.resblocks.0.mlp.c_fc.weight": (4096, 1024),
        "cond_stage_model.model.ln_final.weight": (1024,),
    },
    "sdxl": {
        "model.diffusion_model.label_emb.0.0.weight": (1280, 2816),
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.1.attn2.to_v.weight": (640, 2048),
        "model.diffusion_model.input_blocks.8.1.transformer_blocks.9.ff.net.0.proj.weight": (10240, 1280),
        "model.diffusion_model.middle_block.1.transformer_blocks.9.norm3.weight": (1280,),
        "model.diffusion_model.output_blocks.2.2.conv.weight": (1280, 1280, 3, 3),
        "model.diffusion_model.output_blocks.8.0.emb_layers.1.weight": (320, 1280),
        "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": (768,),
        "conditioner.embedders.1.model.text_projection": (1280, 1280),
        "conditioner.embedders.1.model.transformer.resblocks.31.attn.out_proj.weight": (1280, 1280),
    },
}
NUMBERS = {"sd1": (686, 248, 196), "sd2": (686, 248, 280), "sdxl": (1680, 248, 196 + 389)}  # UNet, VAE, text encoders


LIKE = {"sd1": single_file.SD1, "sd2": single_file.SD2, "sdxl": single_file.SDXL}  # whose settings diffusers fetches


@pytest.mark.parametrize("kind", UNETS)
def test_names_and_shapes_of_the_real_models_are_the_original_ones(kind: str) -> None:
    with torch.device("meta"):
        unet, (first, *second) = UNet2DConditionModel(**UNETS[kind]), [ENCODERS[name] for name in READ_BY[kind]]
        encoders = [CLIPTextModel(CLIPTextConfig(**first))]
        encoders += [CLIPTextModelWithProjection(CLIPTextConfig(**config)) for config in second]
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        )
    denoiser = UNetDenoiser(unet, *encoders)
    weights = denoiser.state_dict() | {f"vae.{name}": weight for name, weight in vae.state_dict().items()}
    original = gathered(weights, places(denoiser, vae))
    assert shapes(original).items() >= FACTS[kind].items()
    parts = [[n for n in original if n.startswith(p)] for p in ("model.diffusion_model.", "first_stage_model.")]
    assert (*map(len, parts), len(original) - sum(map(len, parts))) == NUMBERS[kind]

    assert single_file_utils.fetch_diffusers_config(original)["pretrained_model_name_or_path"] == LIKE[kind].like
    back = single_file_utils.convert_ldm_unet_checkpoint(dict(original), unet.config)
    assert shapes(back) == shapes(unet.state_dict())
    back = single_file_utils.convert_ldm_vae_checkpoint(dict(original), vae.config)
    assert shapes(back) == shapes(vae.state_dict())
    for encoder, name in zip(encoders, READ_BY[kind], strict=True):
        assert bare(clip_back(encoder, original, name, kind)) == bare(encoder.state_dict())


def clip_back(encoder: Any, original: dict[str, Tensor], name: str, kind: str) -> dict[str, Tensor]:
    """A text encoder as diffusers reads it out of a single file."""
    if name == "CLIP ViT-L":
        return single_file_utils.convert_ldm_clip_checkpoint(original)
    prefix = "conditioner.embedders.1.model." if kind == "sdxl" else "cond_stage_model.model."
    return single_file_utils.convert_open_clip_checkpoint(encoder, original, prefix)


def shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def bare(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The same without `text_model.`, which transformers has dropped from some text encoders."""
    return {name.removeprefix("text_model."): shape for name, shape in shapes(weights).items()}


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_what_is_gathered_is_picked_again(kind: str) -> None:
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    encoders = [
        CLIPTextModel(CLIPTextConfig(**small, vocab_size=99, hidden_act="gelu" if kind == "sd2" else "quick_gelu"))
    ]
    if kind == "sdxl":
        encoders.append(CLIPTextModelWithProjection(CLIPTextConfig(**small, vocab_size=99, projection_dim=20)))
    levels = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    denoiser = UNetDenoiser(UNet2DConditionModel(**levels, cross_attention_dim=32, **BLOCKS), *encoders)
    vae = AutoencoderKL(
        **levels, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2
    )
    weights = denoiser.state_dict() | {f"vae.{name}": weight for name, weight in vae.state_dict().items()}
    where = places(denoiser, vae)
    original = gathered(weights, where)
    for name, weight in weights.items():
        assert torch.equal(picked(original.__getitem__, where[name]).reshape(weight.shape), weight), name


def test_a_network_without_a_name_there_is_refused() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNETS["sd1"], num_class_embeds=3)
        encoder = CLIPTextModel(CLIPTextConfig(**ENCODERS["CLIP ViT-L"]))
    with pytest.raises(ValueError, match="the original layout has no name for class_embedding"):
        places(UNetDenoiser(unet, encoder), AutoencoderKL())
