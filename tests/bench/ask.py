"""Measure answers with sources: `python -m tests.bench.ask` prints a table for `docs/benchmarks.md`.

The pages and questions are those of `tests.servers.web_pages`, whose support is known; so no model judges. The language
model is the one for tests, in all its habits. Pages are read from memory: what is measured is ranking and answering.
"""

import asyncio
import itertools
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import psutil

from storage.contract.ask import Answer, Source
from storage.settings.language_model import LanguageModelSettings
from tests.bench.chats import megabytes
from tests.servers.openai_model import HABITS, Habit, ModelServer, model_server
from tests.servers.web_pages.held_out import HeldOutSet, held_out_pages, held_out_questions
from tests.servers.web_pages.pages import CLOSED_HOST, all_pages
from tests.servers.web_pages.questions import KnownQuestion, all_questions
from trainer.ask.answer.engine import AnswerEngine
from trainer.ask.answer.request import AnswerEvent, AnswerFinished, AnswerRequest, SourceFound, TextDelta
from trainer.ask.model.client import ModelClient
from trainer.ask.ranking.rank import rank
from trainer.ask.ranking.source_text import SourceText
from trainer.ask.ranking.terms import terms
from trainer.ask.retrieval import Query, Retrieval

PAGES, PASSAGES = 10, 12
AT_ONCE = 50
MEASURED_AFTER = (100, 500, 1000)  # answers
TELLS = ("contradictory", "stale")
BAD_HABITS: tuple[Habit, ...] = (*HABITS, "no_citations")
SETS: dict[str, HeldOutSet] = {"held out": "held_out", "other styles": "held_out_styles", "third": "held_out_third"}


class PagesInMemory:
    """Retrieval over the pages of the small web, by the words they share with the question."""

    def __init__(self) -> None:
        everything = [*all_pages(), *(page for name in SETS.values() for page in held_out_pages(name))]
        pages = [p for p in everything if not p.location and p.host != CLOSED_HOST and not p.delay_s]
        self.texts = {page.name: page.text for page in pages}
        self._sources = [
            SourceText(
                Source(
                    id=page.name,
                    url=f"https://{page.name}",
                    title=page.title,
                    site=page.host,
                    published=page.published,
                    updated=page.modified,
                ),
                page.text,
                0,
            )
            for page in pages
        ]
        self._terms = [frozenset(terms(f"{each.source.title} {each.text}")) for each in self._sources]

    async def retrieve(self, query: Query, on_source: Callable[[Source], None]) -> Retrieval:
        """Rank the pages that share the rarest words with the question."""
        asked = frozenset(terms(query.question))
        rarity = {word: math.log(1 + len(self._terms) / (0.5 + sum(word in t for t in self._terms))) for word in asked}
        scores = [sum(rarity[word] for word in asked & words) for words in self._terms]
        best = sorted(range(len(scores)), key=lambda row: -scores[row])[:PAGES]
        texts = [self._sources[row] for row in best if scores[row] > 0]
        for text in texts:
            on_source(text.source)
        sources, passages = await asyncio.to_thread(rank, query.question, texts, PASSAGES)
        return Retrieval(tuple(sources), tuple(passages))


@dataclass
class Timing:
    """One answer, and how long its beginnings took."""

    answer: Answer
    first_source_s: float
    first_word_s: float
    habit: str = ""


@dataclass
class Score:
    """Counts of one way to answer: hits, and out of how many."""

    counts: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, hit: bool) -> None:
        count = self.counts.setdefault(name, [0, 0])
        count[0] += hit
        count[1] += 1

    def row(self, name: str) -> str:
        hits, of = self.counts.get(name, [0, 0])
        return f"{hits / max(1, of):.3f} ({hits} of {of})"


async def timed(events: AsyncIterator[AnswerEvent]) -> Timing:
    began_s = time.perf_counter()
    source_s = word_s = 0.0
    async for event in events:
        now_s = time.perf_counter() - began_s
        if isinstance(event, SourceFound):
            source_s = source_s or now_s
        elif isinstance(event, TextDelta):
            word_s = word_s or now_s
        elif isinstance(event, AnswerFinished):
            return Timing(event.answer, source_s, word_s)
    raise AssertionError("an answer has an end")


def judge(score: Score, known: KnownQuestion, answer: Answer, texts: dict[str, str]) -> None:
    """Count one answer against what is known of its question."""
    if known.kind == "unanswerable":
        score.add("unanswerable, declined", not answer.is_found)
        return
    score.add("answerable, answered", answer.is_found)
    score.add("right", known.answer in answer.text)
    score.add("right source among the first three", any(s.id in known.support for s in answer.sources[:3]))
    cited = {citation.source_id for citation in answer.citations}
    values = [value for value in (known.answer, known.other_answer) if value]
    for citation in answer.citations:
        if answer.text.startswith(" is out of date", citation.end):
            continue  # which is said of the source itself
        score.add("citation precision", supports(texts[citation.source_id], answer.text[: citation.start], values))
    if answer.is_found:
        score.add("citation recall", any(known.answer in texts[page] for page in cited))
    if known.kind in TELLS:
        told = "disagree" in answer.text and all(value in answer.text for value in values)
        score.add("contradictions told", told)
    else:
        score.add("none told where there is none", "disagree" not in answer.text)


def supports(page: str, before: str, values: list[str]) -> bool:
    """Whether a page says what stands before a marker (ALCE's citation precision, exact): its last words, or a value.

    The model and the quotations copy sentences, so that what they say stands word for word on the page.
    """
    said = re.sub(r"(?:\s*\[\d+\])+\s*$", "", before).rstrip(" ”.").rpartition("\n")[2]
    words = " ".join(re.split(r"[“”]|\[\d+\]", said)[-1].split()[-5:])
    told = re.search(r"(?:says|as of \S+:) ([^\[\];]+)$", said)
    return (told[1] if told else words) in page or any(value in page and value in said for value in values)


async def judged(
    engine: AnswerEngine, pages: PagesInMemory, questions: Sequence[KnownQuestion], server: ModelServer | None
) -> tuple[Score, list[Timing]]:
    score, timings = Score(), []
    for known, habit in zip(questions, itertools.cycle(BAD_HABITS)):
        if known.kind == "slow":
            continue
        if server:
            server.habit = habit
        timing = await timed(engine.answer(AnswerRequest(Query(known.text))))
        judge(score, known, timing.answer, pages.texts)
        timings.append(timing)
    return score, timings


def median_s(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def many_at_once(engine: AnswerEngine) -> str:
    """All answers of many questions at once are those that they are alone."""
    questions = [known.text for known in all_questions()[:AT_ONCE]]
    alone = [(await timed(engine.answer(AnswerRequest(Query(text))))).answer for text in questions]
    began_s = time.perf_counter()
    together = await asyncio.gather(*(timed(engine.answer(AnswerRequest(Query(text)))) for text in questions))
    same = sum(one.text == other.answer.text for one, other in zip(alone, together, strict=True))
    return f"{same} of {AT_ONCE} the same, in {time.perf_counter() - began_s:.1f} s"


async def memory_growth(engine: AnswerEngine) -> str:
    """Memory of this process (RSS) after answers, of all questions in turn."""
    questions = itertools.cycle(known.text for known in all_questions())
    process, figures = psutil.Process(), list[str]()
    for number in range(1, MEASURED_AFTER[-1] + 1):
        await timed(engine.answer(AnswerRequest(Query(next(questions)))))
        if number in MEASURED_AFTER:
            figures.append(f"{megabytes(process):.0f} MB after {number}")
    return ", ".join(figures)


async def main() -> None:
    """Measure both ways to answer, over both sets of questions, and print a table."""
    pages = PagesInMemory()
    sets = {"tuned": all_questions()} | {name: held_out_questions(each) for name, each in SETS.items()}
    with model_server() as server:
        settings = {"DARKROOM_ASK_MODEL_URL": server.url, "DARKROOM_ASK_MODEL": server.model}
        async with ModelClient(LanguageModelSettings.model_validate(settings)) as model:
            with_model = AnswerEngine(pages.retrieve, model)
            written = {name: await judged(with_model, pages, known, server) for name, known in sets.items()}
            at_once = await many_at_once(with_model)
    extractive = AnswerEngine(pages.retrieve)
    quoted = {name: await judged(extractive, pages, known, None) for name, known in sets.items()}
    growth = await memory_growth(extractive)
    columns = [(f"{name}, {way}", scores[name][0]) for name in sets
               for way, scores in (("model", written), ("quotations", quoted))]  # fmt: skip
    print("| | " + " | ".join(name for name, _ in columns) + " |\n|" + "---|" * (len(columns) + 1))  # noqa: T201
    for row in columns[0][1].counts:
        print(f"| {row} | " + " | ".join(score.row(row) for _, score in columns) + " |")  # noqa: T201
    timings = [timing for _, times in written.values() for timing in times]
    print(f"\nfirst source {median_s([t.first_source_s for t in timings]):.3f} s, "  # noqa: T201
          f"first word {median_s([t.first_word_s for t in timings]):.3f} s (medians)")  # fmt: skip
    print(f"{AT_ONCE} questions at once: {at_once}\nmemory: {growth}")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
