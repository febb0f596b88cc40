"""Measure answers with sources: `python -m tests.bench.ask` prints the tables of `docs/benchmarks.md`.

The pages and questions are those of `tests.servers.web_pages`, whose support is known; so no model judges. The language
model is the one for tests, in all its habits. `--misses` lists the questions of what is missed, `--quick` leaves out
the time and the memory of many questions.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import psutil

from storage.contract.ask import Answer
from storage.settings.language_model import LanguageModelSettings
from tests.bench.ask_judge import WANTED, Score, judge
from tests.bench.ask_pages import HELD_OUT, PagesInMemory
from tests.bench.chats import megabytes
from tests.servers.openai_model import HABITS, Habit, ModelServer, model_server
from tests.servers.web_pages.held_out import held_out_questions
from tests.servers.web_pages.questions import KnownQuestion, all_questions
from trainer.ask.answer.engine import AnswerEngine
from trainer.ask.answer.request import AnswerEvent, AnswerFinished, AnswerRequest, SourceFound, TextDelta
from trainer.ask.model.client import ModelClient
from trainer.ask.retrieval import Query

AT_ONCE = 50
MEASURED_AFTER = (100, 500, 1000)  # answers
BAD_HABITS: tuple[Habit, ...] = (*HABITS, "no_citations")


@dataclass
class Timing:
    """One answer, and how long its beginnings took."""

    answer: Answer
    first_source_s: float
    first_word_s: float


async def timed(events: AsyncIterator[AnswerEvent]) -> Timing:
    """Wait for the end of an answer."""
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


async def judged(
    engine: AnswerEngine, pages: PagesInMemory, questions: Sequence[KnownQuestion], server: ModelServer | None
) -> tuple[Score, list[Timing]]:
    """The counts and times of all questions of a set; a model writes in one bad habit after the other."""
    score, timings = Score(), list[Timing]()
    for known, habit in zip(questions, itertools.cycle(BAD_HABITS)):
        if known.kind == "slow":
            continue
        if server:
            server.habit = habit
        timing = await timed(engine.answer(AnswerRequest(Query(known.text))))
        judge(score, known, timing.answer, pages.texts)
        timings.append(timing)
    return score, timings


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


def table(way: str, scores: dict[str, Score], sizes: dict[str, int]) -> str:
    """One way to answer over all sets, in Markdown."""
    names = list(scores)
    lines = [f"| {way} | wanted | " + " | ".join(f"{name}, {sizes[name]}" for name in names) + " |"]
    lines.append("|" + "---|" * (len(names) + 2))
    for row, wanted in WANTED.items():
        lines.append(f"| {row} | {wanted} | " + " | ".join(scores[name].cell(row) for name in names) + " |")
    return "\n".join(lines)


def misses(way: str, scores: dict[str, Score]) -> str:
    """What was missed, a line each."""
    return "\n".join(
        f"{way}, {name}, {what}: {question} → {text!r}"
        for name, score in scores.items()
        for what, question, text in score.misses
    )


def median_s(values: Sequence[float]) -> float:
    """The middle one of some times."""
    return sorted(values)[len(values) // 2]


async def main(options: argparse.Namespace) -> None:
    """Measure both ways to answer, over all sets of questions, and print tables."""
    pages = PagesInMemory()
    sets = {"tuned": all_questions()} | {name: held_out_questions(each) for name, each in HELD_OUT.items()}
    sets = {name: known for name, known in sets.items() if not options.sets or name in options.sets}
    extractive, at_once = AnswerEngine(pages.retrieve), ""
    quoted = {name: await judged(extractive, pages, known, None) for name, known in sets.items()}
    with model_server() as server:
        settings = {"DARKROOM_ASK_MODEL_URL": server.url, "DARKROOM_ASK_MODEL": server.model}
        async with ModelClient(LanguageModelSettings.model_validate(settings)) as model:
            with_model = AnswerEngine(pages.retrieve, model)
            written = {name: await judged(with_model, pages, known, server) for name, known in sets.items()}
            at_once = "" if options.quick else await many_at_once(with_model)
    sizes = {name: len(timings) for name, (_, timings) in quoted.items()}
    for way, results in (("quotations", quoted), ("model", written)):
        scores = {name: score for name, (score, _) in results.items()}
        print(f"{table(way, scores, sizes)}\n{misses(way, scores) if options.misses else ''}")  # noqa: T201
    timings = [timing for _, times in written.values() for timing in times]
    print(f"first source {median_s([t.first_source_s for t in timings]):.3f} s, "  # noqa: T201
          f"first word {median_s([t.first_word_s for t in timings]):.3f} s (medians)")  # fmt: skip
    if not options.quick:
        print(f"{AT_ONCE} questions at once: {at_once}\nmemory: {await memory_growth(extractive)}")  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help="only these sets of questions, as “held out”")
    parser.add_argument("--misses", action="store_true", help="list what is missed")
    parser.add_argument("--quick", action="store_true", help="no times and memory of many questions")
    asyncio.run(main(parser.parse_args()))
