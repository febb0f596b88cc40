"""Previews of pictures that are being drawn, as the page shows them: asked for only while a page is open."""

import time

from bot.app import Darkroom
from bot.core.context import may_see_job
from bot.core.local_space import PERSON
from bot.core.messages import Reply
from storage.errors import Damaged, Missing
from storage.queue.previews import WANTED_S, read_preview, want_previews
from storage.queue.redis_errors import best_effort

PHASES = ("loading", "drawing")
AGAIN_S = WANTED_S / 3
JOBS = 1000  # of which it is known when they were asked for last


class Previews:
    """The previews of the local chat."""

    def __init__(self, app: Darkroom) -> None:
        self.app = app
        self._asked_s: dict[str, float] = {}  # by job

    async def request_for(self, reply: Reply) -> None:
        """Ask for previews of what a reply is about, if it is being drawn: a page shows it."""
        if self.app.settings.previews == "off" or not (reply.job and reply.progress):
            return
        now_s = time.monotonic()
        if reply.progress.phase not in PHASES or now_s - self._asked_s.get(reply.job, -AGAIN_S) < AGAIN_S:
            return
        self._asked_s.pop(reply.job, None)
        self._asked_s[reply.job] = now_s
        if len(self._asked_s) > JOBS:
            del self._asked_s[next(iter(self._asked_s))]
        with best_effort("there are no previews"):
            await want_previews(self.app.redis, reply.job)

    async def read(self, job_id: str) -> bytes:
        """The newest preview of a job; raises Missing where there is none that the person may see."""
        try:
            job = await self.app.dispatch.job(job_id)
        except Damaged as error:
            raise Missing(str(error)) from error
        if not await may_see_job(self.app, PERSON, job):
            raise Missing("There is no such job here.")
        if preview := await read_preview(self.app.redis, job_id):
            return preview
        raise Missing("There is no preview.")
