"""Numbers of sources in a thread: given in the order of first use, and never to another source."""

from collections.abc import Iterable, Mapping


class Numbering:
    """Which number each source has that was cited in a thread."""

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        """`known` are the numbers of earlier answers in the thread, by id of the source."""
        self._numbers = dict(known or {})

    def number_of(self, source_id: str) -> int:
        """The number of a source, which is the next one if it has none yet."""
        return self._numbers.setdefault(source_id, max(self._numbers.values(), default=0) + 1)

    def as_dict(self) -> dict[str, int]:
        """All numbers given so far, by id of the source."""
        return dict(self._numbers)

    def labels(self, source_ids: Iterable[str]) -> dict[int, str]:
        """Numbers for sources in a prompt, where those that were cited before keep theirs."""
        ids = list(dict.fromkeys(source_ids))
        new = [id_ for id_ in ids if id_ not in self._numbers]
        first = max(self._numbers.values(), default=0) + 1
        labels = self._numbers | {id_: number for number, id_ in enumerate(new, first)}
        return {labels[id_]: id_ for id_ in ids}
