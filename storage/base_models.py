"""What both sides know of a base model by its name alone: which one ships, and how large photos for it are."""

from typing import NamedTuple

TOYWORLD = "toyworld"


class PhotoSize(NamedTuple):
    """Photos that a base model can learn from, in pixels."""

    short_side_min_px: int
    prepared_px: int  # side of the square that the bot makes of a photo


class BaseModelPair(NamedTuple):
    """A base model as the settings name it, and its few-step twin, empty where there is none."""

    base: str
    twin: str

    @classmethod
    def of(cls, text: str) -> "BaseModelPair":
        """Read `BASE` or `BASE,TWIN`.

        >>> BaseModelPair.of("krea/Krea-2-Raw, krea/Krea-2-Turbo")
        BaseModelPair(base='krea/Krea-2-Raw', twin='krea/Krea-2-Turbo')
        """
        base, _, twin = text.partition(",")
        return cls(base.strip(), twin.strip())


def photo_size(base_model: str) -> PhotoSize:
    """The size of photos for a base model: Toyworld draws 64 pixels, the smallest Stable Diffusion 512, SDXL 1024."""
    return PhotoSize(64, 128) if base_model == TOYWORLD else PhotoSize(256, 1024)
