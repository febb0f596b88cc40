"""Resource limits for decoding a photo: its size by the settings, and CPU time and memory of the process."""

from typing import TYPE_CHECKING, NamedTuple

from storage.base_models import photo_size

if TYPE_CHECKING:  # the process that decodes photos reads no settings
    from storage.settings.bot import BotSettings

CPU_S = 12  # of one photo: one of 64 million pixels took up to eight
WALL_S = 30.0
SLOW_AFTER_S = 0.6  # a photo that takes longer makes way for those of other people
MEMORY_BYTES = 2**29  # of one photo, and BYTES_A_PIXEL for as many as it may have
BYTES_A_PIXEL = 24
RESULT_BYTES = 64 * 2**20  # two pictures of a side of a thousand pixels or so, with much to spare


class PhotoLimits(NamedTuple):
    """How large a photo may be, and how large it is made."""

    max_pixels: int
    min_px: int
    side_px: int
    cpu_s: int = CPU_S
    wall_s: float = WALL_S
    memory_bytes: int = MEMORY_BYTES  # of address space, beyond what the process has

    @classmethod
    def from_settings(cls, settings: "BotSettings") -> "PhotoLimits":
        """The limits that an operator set, for the base model."""
        memory_bytes = MEMORY_BYTES + BYTES_A_PIXEL * settings.photo_max_pixels
        size = photo_size(settings.base_model)
        min_px = settings.photo_short_side_px or size.short_side_min_px
        return cls(settings.photo_max_pixels, min_px, size.prepared_px, memory_bytes=memory_bytes)
