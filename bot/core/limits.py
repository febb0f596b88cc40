"""Limits that protect everybody from anybody: how fast one may ask, how much at once, and how many may wait."""

from arq.connections import ArqRedis

from bot.core.messages import Request
from storage.contract.jobs import Job
from storage.errors import UserError
from storage.kinds import kind_of
from storage.queue.job_queue import JobQueue
from storage.settings.bot import BotSettings
from storage.text import plural

MINUTE_S = 60
LOOKS_PER_REQUEST = 2  # messages that may be requests, beside each that may be one


class Limits:
    """The limits of a deployment; what counts is kept in Redis, for all of its bots."""

    def __init__(self, settings: BotSettings, redis: ArqRedis) -> None:
        self.settings, self.redis = settings, redis

    async def pace(self, request: Request, what: str = "") -> None:
        """Count a request; raises UserError if its person asks too fast.

        `what` is counted by itself: looking up what a message replies to, before it is known to be a request.
        """
        count, left_s = await self._count(request, what)
        if count > self.settings.requests_per_minute:
            most = self.settings.requests_per_minute
            raise UserError(f"Rate limit: at most {most} requests a minute. Try again in {left_s} s.")

    async def may_look_up(self, request: Request) -> bool:
        """Count a look at whether a message is a request; whether its person had few enough in this minute.

        Nothing is said of the others: they may be no requests at all.
        """
        count, _ = await self._count(request, "replies")
        return count <= LOOKS_PER_REQUEST * self.settings.requests_per_minute

    async def _count(self, request: Request, what: str) -> tuple[int, int]:
        """Count one more; return how many there were in this minute, and how many seconds of it are left."""
        key = ":".join(filter(None, ["darkroom:pace", request.space, request.user, what]))
        async with self.redis.pipeline(transaction=True) as both:
            # A fixed window: the key expires a minute after the first request, whatever comes in between.
            both.set(key, 0, ex=MINUTE_S, nx=True)
            both.incr(key)
            both.ttl(key)
            _, count, left_s = await both.execute()
        if left_s < 0:  # it lapsed in between, and would count for ever
            await self.redis.expire(key, left_s := MINUTE_S)
        return count, left_s

    async def admit(self, job: Job) -> None:
        """Reserve a job's place in its queue; raises UserError if it is too large or too many wait."""
        kind = kind_of(job)
        kind.check(job, self.settings)
        what, (of_person, of_space) = kind.counted, kind.limits(self.settings)
        # Counting and reserving are one script in Redis, or two bots could both admit the last one.
        refused = await JobQueue(self.redis, job.kind).admit(job, of_person, of_space)
        if not refused:
            return
        mine, ours = refused
        if mine >= of_person:
            rest = "Wait until one is done, or cancel one with /dreambooth cancel."
            raise UserError(f"You have {plural(mine, what)} waiting or running, which is the limit. {rest}")
        raise UserError(f"{plural(ours, what)} wait or run here already, which is the limit. Please try again soon.")
