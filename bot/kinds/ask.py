"""How chats show questions: what is read, the text as it comes, then the answer with its sources."""

import re
from collections.abc import Sequence

from bot.core.messages import Button, Reply
from bot.kinds.answer_text import answer_text, source_line
from bot.kinds.presenter import JobPresenter, details_button
from storage.contract.ask import Answer
from storage.contract.progress import Progress
from storage.contract.subjects import Subject
from storage.kinds.ask import AskJob, AskOutcome
from storage.text import duration, one_line, plural

SOURCES_SHOWN = 5  # while they are read
PROMPT_MAX = 300  # characters of a prompt that is made of an answer
MARKUP = re.compile(r"\[[^\]]*\]|[*_`#>“”\"|]")
SENTENCE_END = re.compile(r"(?<=[.!?])\s")
DELETE = "Delete this question and its answer for good?"


class AskPresenter(JobPresenter[AskJob, AskOutcome]):
    """Sources first, then text, then the answer with links and what one can do with it."""

    phases = {"loading": "Looking for sources", "reading": "Reading sources", "writing": "Writing the answer"}

    def live_text(self, job: AskJob, progress: Progress) -> str:
        """The text so far; before there is any, the sources that are being read."""
        if text := str(progress.live.get("text", "")):
            return text
        sources = progress.live.get("sources") or []
        lines = [f"· {source.get('title') or source.get('url')} ({source.get('site')})" for source in sources]
        more = len(lines) - SOURCES_SHOWN
        return "\n".join([*lines[:SOURCES_SHOWN], *([f"… and {plural(more, 'other')}"] if more > 0 else [])])

    def working(self, job: AskJob, progress: Progress) -> Reply:
        """Say where the question is."""
        reply = super().working(job, progress)
        return reply.model_copy(update={"is_markdown": bool(progress.live.get("text"))})

    def done(self, job: AskJob, outcome: AskOutcome, subjects: Sequence[Subject]) -> Reply:
        """Show the answer."""
        if not outcome.answer:
            return super().done(job, outcome, subjects)
        linked = answer_text(outcome.answer)
        return Reply(
            text=linked.text,
            links=linked.links,
            is_markdown=True,
            buttons=_buttons(job, outcome.answer),
            picks=(details_button(job),),
            job=job.id,
            facts=self.details(job, outcome, subjects),
        )

    def details(self, job: AskJob, outcome: AskOutcome, subjects: Sequence[Subject]) -> dict[str, str]:
        """The sources with their addresses, and how the answer was made; what it cost is for the operator."""
        facts = {"question": job.question}
        if answer := outcome.answer:
            facts |= {f"[{n}]": f"{source_line(s)} {s.url}" for n, s in answer.cited_sources.items()}
            facts["made"] = "of quotations" if answer.is_extractive else f"by {answer.usage.model or 'a model'}"
        return facts | {"job": job.id, "took": duration(outcome.seconds)}


def drawing_prompt(answer: Answer) -> str:
    """A prompt for a picture of what an answer says: its first sentence, without markers and markup."""
    text = one_line(MARKUP.sub("", answer.text))
    first = SENTENCE_END.split(text, maxsplit=1)[0].rstrip(".!? ")
    return first if len(first) <= PROMPT_MAX else first[:PROMPT_MAX].rpartition(" ")[0]


def _buttons(job: AskJob, answer: Answer) -> tuple[Button, ...]:
    arguments, home = {"job": job.id}, f"jobs/{job.id}"
    follow = Button(
        label="Follow up", command="ask", arguments={"follow": job.id}, style="primary", form=True, home=home
    )
    again = Button(label="Search again", command="search again", arguments=arguments)
    sources = Button(label="Sources", command="sources", arguments=arguments)
    related = Button(label="Related", command="related", arguments=arguments)
    shorter = Button(label="Shorter", command="shorter", arguments=arguments)
    draw = Button(
        label="Draw this", command="imagine", arguments={"prompt": drawing_prompt(answer)}, form=True, home=home
    )
    delete = Button(label="Delete", command="answer delete", arguments=arguments, style="danger", confirm=DELETE)
    has_text = answer.is_found and drawing_prompt(answer)
    return (
        follow,
        *([sources] if answer.sources else []),
        again,
        *([related] if answer.related_questions else []),
        *([shorter] if answer.is_found and not job.is_short else []),
        *([draw] if has_text else []),
        delete,
    )
