"""What both sides know of a base model by its name alone: which one ships, and how large photos for it are."""

from typing import NamedTuple

TOYWORLD = "toyworld"


class PhotoSize(NamedTuple):
    """Photos that a base model can learn from, in pixels."""

    short_side_min_px: int
    prepared_px: int  # side of the square that the bot makes of a photo


def photo_size(base_model: str) -> PhotoSize:
    """The size of photos for a base model: Toyworld draws 64 pixels, the smallest Stable Diffusion 512, SDXL 1024."""
    return PhotoSize(64, 128) if base_model == TOYWORLD else PhotoSize(256, 1024)
