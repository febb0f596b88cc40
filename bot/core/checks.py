"""What `darkroom doctor` says of one thing that it looked at."""

from typing import Literal

from storage.contract.base import Record

State = Literal["ok", "warn", "fail"]
MARKS: dict[State, str] = {"ok": "✓", "warn": "!", "fail": "✗"}


class Check(Record):
    """One thing that was looked at, and what to do where it is wrong."""

    name: str
    state: State
    says: str
