"""Answers as a worker publishes them, for tests of chats."""

from datetime import date

from storage.contract.ask import Answer, Citation, Source, TextSpan, Usage
from storage.contract.progress import Progress
from storage.kinds.ask import AskJob, AskOutcome
from storage.queue.job_progress import write_progress
from tests.support.manual_worker import Hand

PAGE = Source(
    id="p", url="https://zorvia.test/tower?a=(1)", title="The tower", site="zorvia.test", published=date(2026, 5, 2)
)
COPY = Source(id="c", url="https://other.test/", title="*Towers*", site="other.test", stale=True)
TEXT = "The tower is **312 metres** tall [1]. <@7> @everyone says 400 [2]."


def answer(text: str = TEXT, **more: object) -> Answer:
    """An answer of two sources."""
    marks = {1: PAGE, 2: COPY}
    citations = [
        Citation(start=text.index(f"[{n}]"), end=text.index(f"[{n}]") + 3, source_id=source.id, number=n)
        for n, source in marks.items()
        if f"[{n}]" in text
    ]
    unsupported = (TextSpan(start=text.index("says"), end=text.index("says") + 8),) if "says" in text else ()
    known = {
        "sources": (PAGE, COPY), "numbers": {"p": 1, "c": 2}, "citations": tuple(citations),
        "unsupported": unsupported, "related_questions": ("Who built it?", "How old is it?", "Where is it?"),
        "usage": Usage(model="m", requests=1, prompt_tokens=9), "notices": ("Brave refused.",),
    }  # fmt: skip
    return Answer(question="How tall?", text=text, **known | more)  # type: ignore[arg-type]


async def read_and_write(hand: Hand, job: str, text: str = "") -> None:
    """Say that sources are read, or what is written so far."""
    live = {"text": text, "sources": [{"title": "The tower", "site": "zorvia.test", "url": PAGE.url}]}
    await write_progress(hand.app.redis, Progress(job=job, phase="writing" if text else "reading", live=live))


async def give(hand: Hand, job: AskJob, given: Answer | None = None) -> None:
    """Finish a question."""
    given = given or answer()
    await hand._publish(AskOutcome(job=job.id, state="done", message=given.text, seconds=2, answer=given))
