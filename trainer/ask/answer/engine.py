"""The answer engine: a question becomes a stream of events, from the first source to the whole answer."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from storage.contract.ask import Answer, Source
from storage.text import listed
from trainer.ask.answer.contradictions import Contradiction, find_contradictions
from trainer.ask.answer.coverage import Coverage, declines
from trainer.ask.answer.extractive import is_answered, quotations, quoted
from trainer.ask.answer.follow_up import numbers_of, query_of
from trainer.ask.answer.prompt import NOTHING_FOUND
from trainer.ask.answer.question import Question
from trainer.ask.answer.related import related_questions
from trainer.ask.answer.request import (
    AnswerEvent,
    AnswerFinished,
    AnswerRequest,
    Retrieve,
    SourceFound,
    TextDelta,
    TextRestarted,
)
from trainer.ask.answer.sentences import Sentence, ranked
from trainer.ask.answer.writer import AnswerWriter
from trainer.ask.citations.facts import keys_in
from trainer.ask.model.client import ModelClient
from trainer.ask.model.errors import DECLINED, ModelError
from trainer.ask.model.usage import UsageCounter
from trainer.ask.retrieval import Query, Retrieval

DISAGREES = re.compile(r"\b(?:disagree|contradict|differ|discrepan|conflict|whereas|while|however|but )", re.I)
NO_ANSWER = "I have no answer to this."
QUOTED_INSTEAD = "{reason} So these are quotations from the sources."
QUOTED_BESIDES = "From the sources: {quotations}"


class AnswerEngine:
    """Answers questions with what `retrieve` finds, by a model if there is one."""

    def __init__(self, retrieve: Retrieve, model: ModelClient | None = None) -> None:
        self._retrieve = retrieve
        self._model = model if model and model.endpoints else None

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Events of one answer; closing the iterator ends all work for it. Raises what `retrieve` raises."""
        query = query_of(request)
        retrieval = Retrieval()
        async with aclosing(self._retrieved(query)) as sources:
            async for each in sources:
                if isinstance(each, Source):
                    yield SourceFound(each)
                else:
                    retrieval = each
        draft = await asyncio.to_thread(_Draft, request, query, retrieval, self._model)
        async with aclosing(draft.events()) as events:
            async for event in events:
                yield event

    async def _retrieved(self, query: Query) -> AsyncGenerator[Source | Retrieval, None]:
        """Sources as they are found, each once, then everything."""
        queue: asyncio.Queue[Source | None] = asyncio.Queue()
        task = asyncio.ensure_future(self._retrieve(query, queue.put_nowait))
        task.add_done_callback(lambda _: queue.put_nowait(None))
        seen: set[str] = set()
        try:
            while source := await queue.get():
                if source.id not in seen:
                    seen.add(source.id)
                    yield source
            yield await task
        finally:
            task.cancel()


class _Draft:
    """One answer that is being written."""

    def __init__(self, request: AnswerRequest, query: Query, retrieval: Retrieval, model: ModelClient | None) -> None:
        self._request, self._retrieval, self._model = request, retrieval, model
        self._question = Question(query.question)
        self._sentences: list[Sentence] = ranked(self._question, retrieval)
        self._is_answered = is_answered(self._sentences)
        found = find_contradictions(self._question, self._sentences) if self._is_answered else []
        self._contradictions: list[Contradiction] = found
        self._writer = AnswerWriter(request, retrieval, numbers_of(request.history))
        self._counter = model.new_counter() if model else UsageCounter()
        self._notices = list(retrieval.notices)
        self._sources = {source.id: source for source in retrieval.sources}
        self._citations_shown, self._is_shown = 0, False
        self._is_extractive = True
        self._coverage = Coverage(self._question, self._sentences, request.is_short)

    async def events(self) -> AsyncGenerator[AnswerEvent, None]:
        if not self._is_answered:
            yield self._delta(self._writer.add(_nothing_found(self._retrieval)))
            yield AnswerFinished(self._answer(is_found=False))
            return
        async with aclosing(self._text()) as pieces:
            async for piece in pieces:
                yield piece
        if rest := self._writer.processor.finish():
            yield self._delta(rest)
        is_found = self._is_extractive or self._coverage.is_confident or not self._is_declined()
        for untold in (self._contradiction_notes, self._quotations_besides, self._stale_notes) if is_found else ():
            for note in untold():
                yield self._delta(self._writer.add(f"\n\n{note}") + self._writer.processor.finish())
        answer = self._answer(is_found)
        if self._request.wants_related:
            questions = await related_questions(answer, self._retrieval, self._model, self._counter)
            answer = answer.model_copy(update={"related_questions": questions, "usage": self._counter.usage})
        yield AnswerFinished(answer)

    async def _text(self) -> AsyncGenerator[AnswerEvent, None]:
        """The model's text, or quotations if there is no model, or none that works."""
        if self._model:
            try:
                async with aclosing(
                    self._writer.from_model(self._model, self._counter, self._contradictions)
                ) as pieces:
                    self._is_extractive = False
                    held = ""  # which may become the sentence that declines
                    async for piece in pieces:
                        text = held + (piece or "")
                        held = text if piece is not None and NOTHING_FOUND.startswith(text.lstrip()) else ""
                        if piece is None:
                            yield self._restarted()
                        elif not held:
                            yield self._delta(text)
                if held and self._is_declined() and self._coverage.is_confident:
                    raise ModelError(DECLINED)
                yield self._delta(held)
                return
            except ModelError as error:
                self._is_extractive = True
                self._notices.append(QUOTED_INSTEAD.format(reason=error))
                if self._is_shown:
                    yield self._restarted()
        self._writer.restart()
        text = quotations(self._sentences, self._writer.labels, self._contradictions, self._request.is_short)
        yield self._delta(self._writer.add(text))

    def _restarted(self) -> TextRestarted:
        self._citations_shown, self._is_shown = 0, False
        return TextRestarted()

    def _delta(self, text: str) -> TextDelta:
        """The next piece of the text, with the sources of those of its markers that are new."""
        citations = self._writer.processor.citations
        new = citations[self._citations_shown :]
        self._citations_shown = len(citations)
        self._is_shown |= bool(text)
        return TextDelta(text, {each.number: self._sources[each.source_id] for each in new})

    @property
    def _markers(self) -> dict[str, str]:
        return {id_: f"[{number}]" for number, id_ in self._writer.labels.items()}

    @property
    def _cited(self) -> set[str]:
        return {citation.source_id for citation in self._writer.processor.citations}

    def _is_declined(self) -> bool:
        """Whether a model's text says that there is no answer."""
        text = self._writer.processor.text.strip()
        return text.startswith(NOTHING_FOUND.rstrip(".")) or (not self._cited and declines(text))

    def _contradiction_notes(self) -> list[str]:
        """The contradictions that a model's text does not tell."""
        untold = [] if self._is_extractive else [each for each in self._contradictions if not self._is_told(each)]
        return [each.sentence(self._markers) for each in untold]

    def _quotations_besides(self) -> list[str]:
        """The answer in the words of the sources, where a model's text does not have it."""
        untold = [] if self._is_extractive else self._coverage.untold(self._writer.processor.text, self._cited)
        lines = [quoted(sentence, also, self._markers) for sentence, also in untold]
        return [QUOTED_BESIDES.format(quotations="\n".join(lines))] if lines else []

    def _stale_notes(self) -> list[str]:
        """Which of the sources that the text cites are out of date."""
        stale = [source for source in self._retrieval.sources if source.stale and source.id in self._cited]
        return [_stale_note(source, self._markers[source.id]) for source in stale]

    def _is_told(self, contradiction: Contradiction) -> bool:
        """Whether the text has each of the values with a source, and says that they differ."""
        text = self._writer.processor.text
        keys = keys_in(text) if DISAGREES.search(text) else frozenset()
        return all(each.is_reported_in(text, keys) and each.source.id in self._cited for each in contradiction.reports)

    def _answer(self, is_found: bool) -> Answer:
        processor = self._writer.processor
        processor.finish()
        cited = dict.fromkeys(citation.source_id for citation in processor.citations)
        order = {id_: place for place, id_ in enumerate(cited)}
        sources = sorted(self._retrieval.sources, key=lambda source: order.get(source.id, len(order)))
        return Answer(
            question=self._request.query.question,
            text=processor.text,
            citations=tuple(processor.citations),
            unsupported=tuple(processor.unsupported),
            sources=tuple(sources),
            numbers=self._writer.numbering.as_dict(),
            is_found=is_found,
            is_extractive=self._is_extractive,
            notices=tuple(dict.fromkeys(self._notices)),
            usage=self._counter.usage,
        )


def _nothing_found(retrieval: Retrieval) -> str:
    """What is said where nothing supports an answer; if nothing could be read, why, and not that nothing was found."""
    was_kept_from_it = retrieval.notices and not retrieval.sources
    return " ".join([NO_ANSWER if was_kept_from_it else NOTHING_FOUND, *retrieval.notices])


def _stale_note(source: Source, marker: str) -> str:
    days = [
        f"published {source.published}" if source.published else "",
        f"updated {source.updated}" if source.updated else "",
    ]
    when = listed([day for day in days if day])
    return f"{marker} is out of date{f' ({when})' if when else ''}."
