"""One attempt after another to write an answer's text: a model's stream through the citation processor."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing

from trainer.ask.answer.contradictions import Contradiction
from trainer.ask.answer.prompt import prompt_for
from trainer.ask.answer.request import AnswerRequest
from trainer.ask.citations.bibliography import BibliographyFilter
from trainer.ask.citations.numbering import Numbering
from trainer.ask.citations.processor import CitationProcessor
from trainer.ask.citations.support import IndexedSource, SupportChecker
from trainer.ask.model.client import ModelClient
from trainer.ask.model.endpoint import Delta
from trainer.ask.model.errors import EMPTY, TOO_LONG, ModelError
from trainer.ask.model.usage import UsageCounter
from trainer.ask.retrieval import Retrieval

BUDGET_SHARES = (1.0, 0.4, 0.15)  # of the usual size of sources, where a model cannot take so much text


class AnswerWriter:
    """Writes the text of one answer; `processor` has what is valid of it."""

    def __init__(self, request: AnswerRequest, retrieval: Retrieval, numbers: Mapping[str, int]) -> None:
        self.request, self.retrieval, self._numbers = request, retrieval, numbers
        self.labels = Numbering(numbers).labels(source.id for source in retrieval.sources)
        self._indexed = indexed_sources(retrieval)
        self.restart()

    def restart(self, sent_ids: Collection[str] | None = None) -> None:
        """Drop what was written. A model may cite the sources that it is sent; None: the text is of our own making."""
        self.numbering = Numbering(self._numbers)
        checker = None
        if sent_ids is not None:
            sent = [source for source in self._indexed if source.id in sent_ids]
            checker = SupportChecker(sent, self.request.query.question)
        self.processor = CitationProcessor(self._labels_of(sent_ids), self.numbering, checker)

    def add(self, text: str) -> str:
        """Write a text of our own, with markers of any source; returns what is to be shown."""
        self.processor.trust(self.labels)
        return self.processor.feed(text)

    def _labels_of(self, sent_ids: Collection[str] | None) -> Mapping[int, str]:
        return {number: id_ for number, id_ in self.labels.items() if sent_ids is None or id_ in sent_ids}

    async def from_model(
        self, model: ModelClient, counter: UsageCounter, contradictions: Sequence[Contradiction]
    ) -> AsyncGenerator[str | None, None]:
        """Pieces of a model's answer that are safe to show; None: it begins anew. Raises ModelError."""
        for share in BUDGET_SHARES:
            prompt = prompt_for(self.request, self.retrieval, self.labels, contradictions, share)
            self.restart(prompt.sent_ids)
            own_list = BibliographyFilter(self.request.query.question)
            try:
                async with aclosing(model.stream(prompt.messages, counter)) as events:
                    async for event in events:
                        if isinstance(event, Delta):
                            yield self.processor.feed(own_list.feed(event.text))
                        else:
                            self.restart(prompt.sent_ids)
                            own_list = BibliographyFilter(self.request.query.question)
                            yield None
                yield self.processor.feed(own_list.finish()) + self.processor.finish()
                if not self.processor.text.strip():
                    raise ModelError(EMPTY)
                return
            except ModelError as error:
                if error.meaning is not TOO_LONG or share == BUDGET_SHARES[-1] or self.processor.text:
                    raise


def indexed_sources(retrieval: Retrieval) -> list[IndexedSource]:
    """The sources with all that was read of them."""
    texts: dict[str, list[str]] = {}
    for passage in retrieval.passages:
        texts.setdefault(passage.source_id, []).append(passage.text)
    return [IndexedSource.of(source, "\n".join(texts.get(source.id, []))) for source in retrieval.sources]
