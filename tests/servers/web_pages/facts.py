"""The facts of `facts.toml`: things of ten kinds, each with four values that can be asked for in words."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA: dict[str, Any] = tomllib.loads((Path(__file__).parent / "facts.toml").read_text())
FILLER: list[str] = DATA["filler"]
UNANSWERABLE: list[str] = DATA["unanswerable"]


@dataclass(frozen=True)
class OtherValue:
    """What another page says of one attribute of a thing."""

    attribute: int
    value: str


CHANGED = {name: OtherValue(**fields) for name, fields in DATA["changed"].items()}  # as years ago
DISPUTED = {name: OtherValue(**fields) for name, fields in DATA["disputed"].items()}  # as another newspaper has it


@dataclass(frozen=True)
class Thing:
    """A thing of the tables: what can be said of it, in two ways."""

    name: str
    kind: dict[str, Any]
    values: tuple[str, ...]

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def host(self) -> str:
        """Its own site."""
        return f"{self.slug}.test"

    @property
    def short(self) -> str:
        """What it is called where its name was said before."""
        return str(self.kind["short"])

    def question(self, attribute: int) -> str:
        return self._said(attribute, "question", "")

    def first(self, attribute: int, value: str = "") -> str:
        return self._said(attribute, "first", value)

    def second(self, attribute: int, value: str = "") -> str:
        return self._said(attribute, "second", value)

    def _said(self, attribute: int, how: str, value: str) -> str:
        words: str = self.kind["attributes"][attribute][how]
        return words.format(
            n=self.name, t=self.short, T=self.short[0].upper() + self.short[1:], v=value or self.values[attribute]
        )


def things() -> list[Thing]:
    return [Thing(name, kind, tuple(values)) for kind in DATA["kind"] for name, *values in kind["things"]]
