"""What `darkroom doctor` says of one thing that it looked at."""

from typing import Literal

from storage.contract.base import Record

CheckState = Literal["ok", "warn", "fail"]
MARKS: dict[CheckState, str] = {"ok": "✓", "warn": "!", "fail": "✗"}


class Check(Record):
    """One thing that was looked at, and what to do where it is wrong."""

    name: str
    state: CheckState
    says: str
