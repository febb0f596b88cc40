"""What a living worker says of itself, as it publishes it in Redis: nothing in it is about anybody's work."""

from typing import Annotated

from pydantic import Field, StringConstraints

from storage.contract.base import Stored

Label = Annotated[str, StringConstraints(max_length=200)]


class WorkerStatus(Stored):
    """A worker: which kinds of jobs it takes, its base model, and how fast it works."""

    kinds: tuple[Label, ...] = Field((), max_length=100)
    lacks: Label = ""  # to take jobs; empty for most
    base_model: Label = ""  # without the folder that it lies in; empty where it has no engine
    device: Label = ""  # that the engine computes on
    rows_per_s: float = 0.0  # denoising steps of single pictures in a second, lately
    pictures_per_minute: float = 0.0  # lately
    subjects: int = 0  # whose weights are in the engine's memory
    training_share: float | None = None  # of the engine's time, lately; None if it had nothing to do
