"""What the engine is to the runs that it holds: the base model, and a way to tell the worker."""

from typing import Protocol

from trainer.diffusion.preview import LatentPreview
from trainer.engine.message_writer import News
from trainer.models.base import BaseModel


class Paused(Exception):
    """The worker is about to end, and another will go on with the training."""


class Host(Protocol):
    """The engine, as its runs see it."""

    base: BaseModel
    pausing: bool  # whether the worker is about to end
    watched: set[str]  # jobs that somebody looks at
    allow_bfloat16: bool  # whether wide passes are computed in bfloat16

    def say(self, news: News) -> None:
        """Tell the worker."""

    def preview(self, base: BaseModel) -> LatentPreview | None:
        """What makes previews of a base model's latents, if that can be."""
