"""An answer as the text of a message: markers and sources as links, unsupported claims marked, notices below."""

from bot.core.messages import TextLink
from storage.contract.ask import Answer, Source

UNSUPPORTED = " ⚠"
UNSUPPORTED_NOTE = "⚠ The number or quotation before this sign is not in the source as it was read."


class LinkedText:
    """Text that is put together piece by piece, some of which are links."""

    def __init__(self) -> None:
        self.text = ""
        self._links: list[TextLink] = []

    def add(self, text: str, url: str = "") -> None:
        """Put a piece at the end; only an address on the web makes it a link."""
        if url.startswith(("https://", "http://")):
            self._links.append(TextLink(start=len(self.text), end=len(self.text) + len(text), url=url))
        self.text += text

    @property
    def links(self) -> tuple[TextLink, ...]:
        """The links so far."""
        return tuple(self._links)


def answer_text(answer: Answer) -> LinkedText:
    """The whole message about an answer."""
    linked = LinkedText()
    _add_body(linked, answer)
    if answer.cited_sources:
        linked.add("\n\nSources:")
        add_sources(linked, answer.cited_sources)
    notes = [UNSUPPORTED_NOTE] if answer.unsupported else []
    notes += [notice for notice in answer.notices if notice not in answer.text]
    for note in notes:
        linked.add(f"\n\n{note}")
    return linked


def add_sources(linked: LinkedText, sources: dict[int, Source], with_reasons: bool = False) -> None:
    """A line for each source: number, title, site, day, and on request why it is ranked as it is."""
    for number, source in sources.items():
        linked.add("\n")
        linked.add(f"[{number}]", source.url)
        reason = f"\n      {source.reason}" if with_reasons and source.reason else ""
        linked.add(f" {source_line(source)}{reason}")


def source_line(source: Source) -> str:
    """A source in a line: title, site, day, and what there is to know before trusting it."""
    day = source.updated or source.published
    notes = [source.site if source.site != source.title else "", str(day) if day else ""]
    notes += ["out of date" if source.stale else "", "only the search engine's extract" if source.snippet_only else ""]
    notes = [note for note in notes if note]
    about = f" ({', '.join(notes)})" if notes else ""
    return f"{source.title or source.url}{about}"


def _add_body(linked: LinkedText, answer: Answer) -> None:
    """The answer's own text, with what its spans say."""
    sources = {source.id: source for source in answer.sources}
    marks: list[tuple[int, int, str]] = [  # links, and places where a sign is put in
        (citation.start, citation.end, sources[citation.source_id].url)
        for citation in answer.citations
        if citation.source_id in sources
    ]
    marks += [(span.end, span.end, "") for span in answer.unsupported]
    at = 0
    for start, end, url in sorted(marks):
        if start < at:
            continue
        linked.add(answer.text[at:start])
        if start == end:
            linked.add(UNSUPPORTED)
        else:
            linked.add(answer.text[start:end], url)
        at = end
    linked.add(answer.text[at:])
