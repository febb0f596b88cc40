"""The progress of a running job, as workers publish it in Redis."""

import time
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from storage.contract.base import Stored
from storage.contract.fields import MANY, WORD
from storage.contract.outcomes import Picture

# what the engine is at; those of other kinds of jobs are in their own modules
Phase = Literal["queued", "loading", "class images", "learning", "sampling", "drawing", "saving"]


class Progress(Stored):
    """Where a running job is. Sent at least once a second; the newest replaces all before."""

    job: str
    phase: Annotated[str, StringConstraints(pattern=rf"^{WORD.pattern}$")]  # each kind of job has its own
    step: int = 0
    of: int = 0
    losses: tuple[float, ...] = Field((), max_length=MANY)  # thinned to at most 60 values over the whole run
    left_s: float | None = None  # time left in this job, if it can be told
    validated: tuple[float, float] | None = None  # newest loss on what is held back: instance, prior
    samples: tuple[Picture, ...] = Field((), max_length=MANY)  # sample pictures while training, oldest first
    place: int = 0  # while queued: how much is ahead, in its kind's units: pictures of drawings, else jobs
    obstacle: str = ""  # while queued: why no worker takes any job
    live: dict[str, Any] = {}  # what else its kind shows while it works, text so far say; only that kind reads it
    at_s: float = Field(default_factory=time.time)
