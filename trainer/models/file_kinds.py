"""What a file of weights holds, told from names and shapes, for sentences about it. Without torch."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

Shapes = Mapping[str, tuple[int, ...]]

CONV_IN = re.compile(r"^((model\.diffusion_model\.)?input_blocks\.0\.0|(unet\.)?conv_in)\.weight$")
CONV_OUT = re.compile(r"^((model\.diffusion_model\.)?out\.2|(unet\.)?conv_out)\.weight$")
CHANNELS = {  # that a UNet takes in, where it predicts the 4 of latents
    5: "a depth-to-image model",
    7: "an upscaler",
    8: "a model for editing by instructions, as InstructPix2Pix",
    9: "an inpainting model",
}
LORA = re.compile(r"[._]lora(_linear_layer)?[._](down|up|A|B)\b|^lora_|\.(hada|lokr|oft)_|\.lora_embedding_")
UNET = "a UNet alone"
TABLES = Path(__file__).with_suffix(".toml")


class UnusableFile(ValueError):
    """A file says of itself what cannot be, or what Darkroom has no way to do; the message says what."""


def channels_in(shapes: Shapes) -> int:
    """How many channels the UNet in a file takes in; 0 if there is none."""
    return next((shape[1] for name, shape in shapes.items() if CONV_IN.search(name) and len(shape) == 4), 0)


def channels_out(shapes: Shapes) -> int:
    """How many channels the UNet in a file predicts: those of a latent, 4 if it does not say."""
    return next((shape[0] for name, shape in shapes.items() if CONV_OUT.search(name) and len(shape) == 4), 4)


def kind_of(shapes: Shapes) -> str:
    """What a file holds instead of a whole Stable Diffusion, in words with an article; empty if that is not known."""
    if special := special_unet(shapes) or file_kind(shapes) or _first("models", shapes):
        return special
    if any(LORA.search(name) for name in shapes):
        return "a LoRA"
    unet = any(_table("parts")[UNET].search(name) for name in shapes)
    return UNET if unet else _first("parts", shapes)


def special_unet(shapes: Shapes) -> str:
    """What kind of UNet is in a file, if it does not read a prompt and noise alone; empty otherwise."""
    if (channels := channels_in(shapes)) not in (0, wanted := channels_out(shapes)):
        kind = CHANNELS.get(channels, "another kind of model")
        return f"{kind} (its UNet takes {channels} channels and not {wanted})"
    if any(name.endswith(("time_embed.cond_proj.weight", "time_embedding.cond_proj.weight")) for name in shapes):
        return "a latent consistency model (LCM), whose UNet takes the guidance scale as an input"
    return ""


def other_model(shapes: Shapes) -> str:
    """What other kind of model a file is of or for, in words with an article; empty if that is not known."""
    return _first("models", shapes)


def file_kind(shapes: Shapes) -> str:
    """What a file holds that is neither a model nor a LoRA, in words with an article; empty if it may be either."""
    return _first("files", shapes)


def _first(table: str, shapes: Shapes) -> str:
    return next((called for called, sign in _table(table).items() if any(map(sign.search, shapes))), "")


@cache
def _table(name: str) -> dict[str, re.Pattern[str]]:
    """A table of `file_kinds.toml`, in its order."""
    return {called: re.compile(sign) for called, sign in tomllib.loads(TABLES.read_text())[name].items()}
