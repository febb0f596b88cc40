"""A third kind of job, all of it: text in, text out, by a worker without a GPU.

It is what a new kind needs, in one module since it is of tests alone; `storage.kinds` says which part goes where.
"""
# ruff: noqa: D101

import asyncio
from collections.abc import Sequence
from typing import Literal

from bot.arguments.arguments import Arguments
from bot.commands.command import Command
from bot.commands.registry import COMMANDS
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Reply, Request
from bot.kinds import PRESENTERS
from bot.kinds.presenter import JobPresenter
from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.contract.progress import Progress
from storage.contract.subjects import Subject
from storage.kinds import KINDS
from storage.kinds.kind import JobKind
from trainer.kinds import HANDLERS
from trainer.worker.handler import JobHandler


class EchoJob(Job):
    kind: Literal["echo"] = "echo"
    text: str
    letter_s: float = 0.0


class EchoOutcome(Outcome):
    echo: str = ""


class EchoHandler(JobHandler[EchoJob]):
    async def run(self) -> Outcome:
        for end in range(1, len(self.job.text) + 1):
            self.attempt.reporter.show("echoing", end, len(self.job.text), live={"text": self.job.text[:end]})
            await asyncio.sleep(self.job.letter_s)
        return EchoOutcome(job=self.job.id, state="done", message="Here it is.", echo=self.job.text)


class EchoPresenter(JobPresenter[EchoJob, EchoOutcome]):
    def live_text(self, job: EchoJob, progress: Progress) -> str:
        return str(progress.live.get("text", ""))

    def done(self, job: EchoJob, outcome: EchoOutcome, subjects: Sequence[Subject]) -> Reply:
        return Reply(text=outcome.echo, job=job.id)


class EchoArguments(Arguments):
    text: str
    letter_s: float = 0.0


async def echo(bot: CommandContext, request: Request, given: EchoArguments) -> ReplyStream:
    job = EchoJob(**request.origin, said=f"/echo {given.text}", text=given.text, letter_s=given.letter_s)
    yield await bot.accept(job)


def register() -> None:
    KINDS["echo"] = JobKind("echo", EchoJob, EchoOutcome, noun="echo")
    HANDLERS["echo"] = "tests.support.echo_kind:EchoHandler"
    PRESENTERS["echo"] = EchoPresenter()
    COMMANDS["echo"] = Command("echo", "Say it again.", EchoArguments, echo, "everyone")
