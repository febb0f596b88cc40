"""What the engine is to the work that it does: the base model, an ear for wishes to stop, a mouth."""

from typing import Protocol

from trainer.engine.message_writer import News
from trainer.models.base import BaseModel


class Cancelled(Exception):
    """Somebody asked the running task to stop."""


class Paused(Exception):
    """The worker is about to end, and another will go on with the training."""


class Host(Protocol):
    """The engine, as drawing and training tasks see it."""

    base: BaseModel

    @property
    def pausing(self) -> bool:
        """Whether the worker is about to end."""

    def say(self, news: News) -> None:
        """Tell the worker."""

    def check(self, job: str) -> None:
        """Raise Cancelled if the job is to stop."""

    def serve_pictures(self) -> None:
        """Draw the pictures that were asked for meanwhile."""
