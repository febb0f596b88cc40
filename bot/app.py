"""The application: answers requests of any chat with a stream of replies, and decides what errors become."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

from arq.connections import ArqRedis

from bot.arguments.validation import check
from bot.commands.registry import COMMANDS
from bot.core.context import Application
from bot.core.dedupe import is_first
from bot.core.dispatch import Dispatch
from bot.core.error_replies import error_reply
from bot.core.limits import Limits
from bot.core.messages import Accepted, Fetch, Reply, Request
from bot.core.suggestions import Suggestions
from bot.kinds import presenter_of
from bot.maintenance import keep_tidy
from bot.photos.decoder_pool import DecodePool
from bot.photos.fair_slots import FairSlots
from bot.photos.in_flight import InFlight
from bot.photos.limits import PhotoLimits
from storage.contract.jobs import Job, job_key
from storage.contract.outcomes import Outcome
from storage.contract.subject_repository import Subjects
from storage.errors import Damaged, Missing, Newer, StoreError, UserError
from storage.kinds import kind_of
from storage.lifecycle.damaged_jobs import end_damaged
from storage.lifecycle.reconcile import keep_queued
from storage.objects.open import open_store
from storage.objects.store import Store
from storage.queue import broker, newest_id
from storage.service_errors import SERVICE_ERRORS, reason_of
from storage.settings.bot import BotSettings

log = logging.getLogger(__name__)

PDF_CHECKS = 2  # processes at once that look at documents
MAKE_ROOM = {"dreambooth forget", "dreambooth cancel", "delete", "answer delete", "documents remove", "forget-me"}
ACCEPTED = "Your request is accepted, but the queue does not answer at the moment. It will continue by itself."


class Darkroom(Application):
    """One deployment, as a front end sees it."""

    def __init__(self, settings: BotSettings, store: Store, redis: ArqRedis) -> None:
        self.settings, self.store, self.redis, self.retract = settings, store, redis, {}
        self.dispatch, self.subjects, self.limits = Dispatch(store, redis), Subjects(store), Limits(settings, redis)
        self.in_flight = InFlight(settings)
        self.decoders = DecodePool(PhotoLimits.from_settings(settings))
        self.pdf_checks = FairSlots(PDF_CHECKS, each=1)
        self.suggestions = Suggestions(self.subjects, self.dispatch)
        # Every bot has these; Redis decides which of several does the work of a minute.
        works = (
            newest_id.keep_newest_id(redis),
            keep_queued(store, redis, settings.lease_s),
            keep_tidy(store, redis, settings.forget_after_days),
        )
        self._upkeep = [asyncio.create_task(work) for work in works]

    @classmethod
    async def open(cls, settings: BotSettings, redis_url: str, short: bool = False) -> "Darkroom":
        """Connect to queue and store, for a `short` command or to stay; raises SetupError if either does not work."""
        store, redis = await open_store(settings, short), await broker.connect(redis_url, settings)
        # Only the order of ids after a clock that went back depends on this: no reason not to start.
        with suppress(*SERVICE_ERRORS):
            await newest_id.load_newest_id(redis)
        return cls(settings, store, redis)

    async def close(self) -> None:
        """Close the connections, and end the processes that decode photos."""
        for task in self._upkeep:
            task.cancel()
        await self.dispatch.events.close()
        try:
            await asyncio.wait(self._upkeep)
            await self.decoders.close()
        finally:
            await self.redis.aclose()

    async def first(self, event: str) -> bool:
        """Whether this event of a chat comes for the first time: chats deliver again what they think was not heard."""
        is_new = await is_first(self.redis, self.store, event)
        if not is_new:
            log.info("delivered again, and left: %s", event)
        return is_new

    async def answer(self, request: Request, fetch: Fetch | None = None) -> AsyncGenerator[Reply, None]:
        """Answer a request: each reply takes the place of the one before. Never raises, but for cancellation.

        Files that come with it are fetched with `fetch`, once it is certain that they are wanted.
        """
        try:
            await self._pace(request)
            command = COMMANDS.get(request.command)
            if command is None:
                raise UserError(f"There is no command /{request.command[:30]}. Try /help.")
            # Counted before anything is fetched: a refusal must not cost memory or traffic.
            with self.in_flight.share(request.person) as share:
                share.take(len(request.uploads), sum(len(upload.data) for upload in request.uploads))
                if fetch:
                    request = request.model_copy(update={"uploads": await fetch(share)})
                async for reply in command.answer(self, request, check(command.arguments, request.arguments)):
                    yield reply
        except Exception as error:
            # The job has its request's id. If its record is there, the reconciler queues it, and the person need not
            # ask again.
            if isinstance(error, SERVICE_ERRORS) and await self._is_accepted(request.id):
                log.warning(
                    "job %s is accepted, and continues when the queue is back: %s", request.id, reason_of(error)
                )
                yield Accepted(text=ACCEPTED, job=request.id)
            else:
                yield error_reply(error, request.command)
        finally:
            # Whatever was asked may have changed the names that completion offers.
            self.suggestions.drop(request.space)

    async def answer_to_end(self, request: Request) -> AsyncIterator[Reply]:
        """Answer a request, and follow its job to the end; raises what `watch` raises."""
        async for reply in self.answer(request):
            if isinstance(reply, Accepted) and reply.job:
                async for news in self.watch(reply.job):
                    yield news
            else:
                yield reply

    async def _pace(self, request: Request) -> None:
        """Count a request; one that makes room is answered also while the queue cannot count, on a full disk say."""
        try:
            await self.limits.pace(request)
        except SERVICE_ERRORS:
            # On a full disk Redis refuses writes, and only these commands can mend that.
            if request.command not in MAKE_ROOM:
                raise

    async def _is_accepted(self, job_id: str) -> bool:
        """Whether a job is written down, and so will be queued by whoever looks next."""
        try:
            return await self.store.exists(job_key(job_id))
        except (StoreError, OSError):
            return False

    async def watch(self, job_id: str) -> AsyncIterator[Reply]:
        """Follow a job to its end, from wherever it is now: also after a restart, in a process that never saw it.

        Raises StoreError, OSError or RedisError when the store or the queue fails.
        """
        try:
            job = await self.dispatch.job(job_id)
            presenter = presenter_of(job)
            async for news in presenter.follow(self.dispatch, job):
                # "Ready" is said only once the subject's record says so, or drawing it at once would fail.
                if isinstance(news, Outcome):
                    await self._note(job, news)
                    yield presenter.finished(job, news, await self.subjects_of(job))
                else:
                    yield presenter.working(job, news)
        except Missing:
            yield Reply(text="This is deleted.", state="cancelled", job=job_id)
        except Damaged as error:
            log.error("job %s is damaged: %s", job_id, error)
            yield Reply(text=await end_damaged(self.store, job_id), state="failed", job=job_id)

    async def _note(self, job: Job, outcome: Outcome) -> None:
        """Have other records say how a job ended, if whoever published its outcome has not come so far yet."""
        try:
            await kind_of(job).note_end(self.store, job, outcome)
        except (Damaged, Newer) as error:
            log.error("a record does not say how job %s ended: %s", job.id, error)
