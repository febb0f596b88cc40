"""What files of the original layout call the weights: latent diffusion's own names, and Stability AI's for SDXL.

A UNet's blocks are counted through from the first to the last there, and what a block does with time, skips and noise
has other names; OpenCLIP keeps its query, key and value in one matrix. One table for each kind of part, one walk for
each network. Rombach et al. 2022, arXiv 2112.10752; Podell et al. 2023, arXiv 2307.01952.
"""

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from trainer.models.key_locations import KeyLocation
from trainer.models.stable_diffusion.denoiser import UNetDenoiser

UNET_PREFIX, VAE_PREFIX = "model.diffusion_model.", "first_stage_model."
CLIP_PREFIX, OPEN_CLIP_PREFIX = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
XL_CLIP_PREFIX = "conditioner.embedders.0.transformer.text_model."
XL_OPEN_CLIP_PREFIX = "conditioner.embedders.1.model."

NAMES = Path(__file__).with_suffix(".toml")  # tables of our names and theirs
FUSED = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]


def places(denoiser: UNetDenoiser, vae: Any) -> dict[str, KeyLocation]:
    """Where each weight lies, by our names: `unet.…`, `vae.…`, `text_encoder.…`, `text_encoder_2.…`.

    Raises ValueError for a network with parts that the original layout has no names for.
    """
    unet = denoiser.unet
    locations = {f"unet.{name}": place for name, place in _each(unet, UNET_PREFIX, _unet(unet), _names("in_unet"))}
    locations |= {f"vae.{name}": place for name, place in _each(vae, VAE_PREFIX, _vae(vae), _names("in_vae"))}
    locations |= {name: place._replace(form="pixel") for name, place in locations.items() if _is_pixel(name, vae)}
    for which, encoder in zip(("text_encoder", "text_encoder_2"), denoiser.text_encoders, strict=False):
        encoder_keys = _text_encoder(encoder, which, denoiser.text_encoder_2 is not None)
        locations |= {f"{which}.{name}": place for name, place in encoder_keys}
    return locations


@cache
def _names(table: str) -> dict[str, str]:
    names: dict[str, str] = tomllib.loads(NAMES.read_text())[table]
    return names


def _each(
    network: Any, prefix: str, blocks: dict[str, str], inner: dict[str, str]
) -> Iterator[tuple[str, KeyLocation]]:
    for name in network.state_dict():
        module, _, kind = name.rpartition(".")
        yield name, KeyLocation(f"{prefix}{_renamed(module, blocks, inner)}.{kind}")


def _renamed(module: str, blocks: dict[str, str], inner: dict[str, str]) -> str:
    """Put the original's words for the block that a module is in, and for what it is within that."""
    block, rest = module, ""
    while block not in blocks:
        if not block:
            raise ValueError(f"the original layout has no name for {module}")
        block, _, last = block.rpartition(".")
        rest = f"{last}.{rest}".rstrip(".")
    return f"{blocks[block]}.{inner.get(rest, rest)}".strip(".")


def _unet(unet: Any) -> dict[str, str]:
    blocks, n = dict(_names("unet")), 1
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            blocks[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{n}.0"
            blocks[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{n}.1"
            n += 1
        if block.downsamplers:
            blocks[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{n}.0.op"
            n += 1
    n = 0
    for i, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            blocks[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{n}.0"
            blocks[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{n}.1"
            n += 1
        after = 2 if hasattr(block, "attentions") else 1  # the upsampler is the last thing in the last of them
        blocks[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{n - 1}.{after}.conv"
    return blocks


def _vae(vae: Any) -> dict[str, str]:
    blocks, levels = dict(_names("vae")), len(vae.decoder.up_blocks)
    for half in ("encoder", "decoder"):
        blocks |= {f"{half}.{ours}": f"{half}.{theirs}" for ours, theirs in _names("vae_half").items()}
    for i in range(levels):
        back = levels - 1 - i  # the original counts resolutions from the finest, on the way up, too
        for j in range(len(vae.encoder.down_blocks[i].resnets)):
            blocks[f"encoder.down_blocks.{i}.resnets.{j}"] = f"encoder.down.{i}.block.{j}"
        for j in range(len(vae.decoder.up_blocks[i].resnets)):
            blocks[f"decoder.up_blocks.{i}.resnets.{j}"] = f"decoder.up.{back}.block.{j}"
        blocks[f"encoder.down_blocks.{i}.downsamplers.0.conv"] = f"encoder.down.{i}.downsample.conv"
        blocks[f"decoder.up_blocks.{i}.upsamplers.0.conv"] = f"decoder.up.{back}.upsample.conv"
    return blocks


def _is_pixel(name: str, vae: Any) -> bool:
    """Whether a weight is one of the matrices of the VAE's attention."""
    return name.startswith("vae.") and ".attentions." in name and vae.get_parameter(name[4:]).ndim == 2


def _text_encoder(encoder: Any, which: str, xl: bool) -> Iterator[tuple[str, KeyLocation]]:
    """OpenAI's CLIP keeps transformers' names, OpenCLIP has its own; they compute with different GELUs."""
    if which == "text_encoder_2" or encoder.config.hidden_act == "gelu":
        return _open_clip(encoder, XL_OPEN_CLIP_PREFIX if xl else OPEN_CLIP_PREFIX)
    prefix = XL_CLIP_PREFIX if xl else CLIP_PREFIX
    return ((name, KeyLocation(prefix + name.removeprefix("text_model."))) for name in encoder.state_dict())


def _open_clip(encoder: Any, prefix: str) -> Iterator[tuple[str, KeyLocation]]:
    layers, inner = range(encoder.config.num_hidden_layers), _names("in_open_clip")
    blocks = _names("open_clip") | {f"encoder.layers.{i}": f"transformer.resblocks.{i}" for i in layers}
    for name in encoder.state_dict():
        module, _, kind = name.removeprefix("text_model.").rpartition(".")
        _, _, within = module.rpartition("layers.")[2].partition(".")
        if module == "embeddings.position_embedding":
            yield name, KeyLocation(f"{prefix}positional_embedding")
        elif module == "text_projection":
            yield name, KeyLocation(f"{prefix}text_projection", form="turned")
        elif within in FUSED:
            block = blocks[module.removesuffix(f".{within}")]
            yield name, KeyLocation(f"{prefix}{block}.attn.in_proj_{kind}", FUSED.index(within), len(FUSED))
        else:
            yield name, KeyLocation(f"{prefix}{_renamed(module, blocks, inner)}.{kind}")
