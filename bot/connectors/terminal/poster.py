"""The terminal as a poster: the screen shows what a chat's message would say."""

from bot.app import Darkroom
from bot.connectors.terminal.screen import Screen
from bot.core.messages import Reply
from bot.delivery.in_place import InPlacePoster
from bot.delivery.posts import Post
from bot.local.stack import Stack
from storage.contract.jobs import TrainJob


class TerminalPoster(InPlacePoster):
    """Shows one command's replies; `last` is the newest. The first about a job starts a worker where there is none."""

    platform = "terminal"
    patience_s = 10.0  # whoever sits there can ask again, and a script is told

    def __init__(self, darkroom: Darkroom, stack: Stack, screen: Screen) -> None:
        self.darkroom, self.stack, self.screen = darkroom, stack, screen
        self.last = Reply(text="Nothing happened.", state="failed")
        self._began = False

    async def edit(self, post: Post, reply: Reply) -> Post:
        """Show a reply."""
        self.last = reply
        if reply.job and reply.state == "working":
            if not self._began:
                self._began = True
                await self._say_note(reply.job)
            self.stack.need_worker()
        self.screen.show(reply)
        return post

    async def _say_note(self, job_id: str) -> None:
        job = await self.darkroom.dispatch.job(job_id)
        if isinstance(job, TrainJob) and job.note:
            self.screen.say(job.note)
