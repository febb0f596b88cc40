"""How a worker answers questions: retrieval and a model in the event loop, without a GPU and without torch."""

import asyncio
import logging
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Any

from storage.contract.ask import Answer, Source, Turn
from storage.contract.outcomes import Outcome
from storage.errors import Damaged, Missing, SetupError, UserError
from storage.kinds.ask import ASK, AskJob, AskOutcome
from storage.kinds.stored import stored_job
from storage.queue.redis_errors import best_effort
from trainer.worker.handler import JobHandler

if TYPE_CHECKING:
    from trainer.ask.answer.request import AnswerEvent
    from trainer.ask.service import AnswerService

log = logging.getLogger(__name__)

NOT_INSTALLED = "Questions cannot be answered here: the worker's installation lacks the extra `ask`. Tell who runs me."
WRONG_SETTINGS = "Questions cannot be answered here: a setting of the worker is wrong. Tell who runs me."
SOURCES_SHOWN = 20  # of those that are being read


class AskHandler(JobHandler[AskJob]):
    """Answers one question; people see what is read, then the text as it is written."""

    @classmethod
    async def prepare(cls) -> None:
        """Import the libraries, and read our own docs."""
        try:
            await asyncio.to_thread(_read_own_docs)
        except ImportError as error:  # the first question says so
            log.warning("questions need the extra `ask` of darkroom-dreambooth: %s", error)
        except Exception:  # a question that needs it fails by itself, and no other kind of job with it
            log.exception("questions could not be prepared")

    async def run(self) -> Outcome:
        """Answer it; raises StoreError, and UserError where no question can be answered here."""
        engine = (await self._service()).engine
        from trainer.ask.answer.request import AnswerFinished, AnswerRequest
        from trainer.ask.retrieval import Query

        job = self.job
        query = Query(job.question, job.filters, space=job.space, document_ids=job.documents)
        request = AnswerRequest(
            query,
            history=await self._history(),
            language=next(iter(job.filters.languages), ""),
            is_short=job.is_short,
            wants_related=True,
        )
        shown = LiveAnswer()
        async with aclosing(engine.answer(request)) as events:
            async for event in events:
                if isinstance(event, AnswerFinished):
                    return self._outcome(event.answer)
                await self._show(shown, event)
        raise AssertionError("the engine ends with an answer")

    async def _service(self) -> "AnswerService":
        try:
            module = await asyncio.to_thread(import_module, "trainer.ask.service")  # which takes seconds
            service: AnswerService = self.attempt.services.get(module.AnswerService, self.attempt.store)
            return service
        except ImportError as error:
            log.error("questions need the extra `ask` of darkroom-dreambooth: %s", error)
            raise UserError(NOT_INSTALLED) from error
        except SetupError as error:
            log.error("questions cannot be answered: %s", error)
            raise UserError(WRONG_SETTINGS) from error

    async def _history(self) -> tuple[Turn, ...]:
        """The thread so far, without what was deleted or is not answered."""
        turns = list(self.job.conversation)
        for before in self.job.history:
            try:
                job = await stored_job(self.attempt.store, before)
                outcome = await ASK.read_outcome(self.attempt.store, before)
            except (Missing, Damaged):
                continue
            if isinstance(job, AskJob) and outcome and outcome.answer:
                turns.append(Turn(question=job.question, answer=outcome.answer))
        return tuple(turns)

    async def _show(self, shown: "LiveAnswer", event: "AnswerEvent") -> None:
        """Publish what there is so far: at once where it is the first of its sort, else with the next beat."""
        is_first = shown.add(event)
        self.attempt.reporter.show("writing" if shown.text else "reading", live=shown.as_json())
        if is_first:
            with best_effort("progress cannot be published"):
                await self.attempt.reporter.write()

    def _outcome(self, answer: Answer) -> AskOutcome:
        usage = answer.usage
        detail = ""
        if usage.requests:
            cost = "" if usage.cost is None else f", cost {usage.cost:g}"
            detail = f"{usage.model}: {usage.prompt_tokens} + {usage.completion_tokens} tokens{cost}"
        return AskOutcome(job=self.job.id, state="done", message=answer.text, detail=detail, answer=answer)


def _read_own_docs() -> None:
    import_module("trainer.ask.service")
    from trainer.ask.documents.own_docs import own_docs

    own_docs()


class LiveAnswer:
    """An answer that is being written, as chats show it."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.cited: dict[int, Source] = {}
        self.text = ""

    def add(self, event: "AnswerEvent") -> bool:
        """Take in an event; return whether it is the first source or the first text."""
        from trainer.ask.answer.request import SourceFound, TextDelta, TextRestarted

        before = bool(self.sources), bool(self.text)
        if isinstance(event, SourceFound):
            self.sources.append(event.source)
        elif isinstance(event, TextDelta):
            self.text += event.text
            self.cited |= event.cited
        elif isinstance(event, TextRestarted):
            self.text, self.cited = "", {}
        return before != (bool(self.sources), bool(self.text))

    def as_json(self) -> dict[str, Any]:
        """What `Progress.live` carries."""
        shown = [_shown(source) for source in self.sources[:SOURCES_SHOWN]]
        return {"text": self.text, "sources": shown, "cited": {str(n): _shown(s) for n, s in self.cited.items()}}


def _shown(source: Source) -> dict[str, Any]:
    return source.model_dump(mode="json", include={"title", "site", "url", "published", "updated"}, exclude_none=True)
