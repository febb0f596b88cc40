"""How far the daily look over the whole store is, as `upkeep/sweep.json` keeps it."""

from pydantic import BaseModel

STATE = "upkeep/sweep.json"


class SweepState(BaseModel):
    """Where a look over everything goes on. Fields that are not known are ignored."""

    version: int = 1
    after: str = ""  # prefix of the slice that was looked at last
    subjects: int = 0  # records counted so far
    ended_s: float = 0.0  # when it ended; 0: it has not
    clean: dict[str, str] = {}  # by prefix of a slice: the hash of its names when nothing was to be done in it
