"""A source with its text, as ranking takes it."""

from dataclasses import dataclass, replace

from storage.contract.ask import Source


@dataclass(frozen=True)
class SourceText:
    """A source and what was read of it; `rank` is its place in the search engine's order, 0 the first."""

    source: Source
    text: str
    rank: int
    canonical_url: str = ""

    def with_source(self, **changes: object) -> "SourceText":
        """The same with other fields of its source."""
        return replace(self, source=self.source.model_copy(update=changes))
