"""The terminal as a chat: what is typed becomes a Request, the Replies become a bar and a result."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from bot.app import Darkroom
from bot.commands.deployment_status import deployment_status
from bot.connectors.terminal.files import check_writable, read_documents, read_photos, save
from bot.connectors.terminal.screen import INTERRUPTED, USAGE, CommandResult, Screen, failure, print_result
from bot.core import access
from bot.core.context import ReplyStream
from bot.core.local_space import PERSON, SPACE, USER  # one person on one machine, on the page as at the terminal
from bot.core.messages import Reply, Request
from bot.delivery.follower import Follower
from bot.delivery.in_place import InPlacePoster, NullPostStore
from bot.delivery.posts import Post
from bot.kinds import presenter_of
from bot.local.children import until_stopped
from bot.local.stack import Stack
from bot.photos.uploads import Upload
from storage.contract.jobs import job_key
from storage.contract.photo_source import COMPARED
from storage.errors import Damaged, SetupError, StoreError, UserError
from storage.kinds.ask import ASK
from storage.kinds.imagine import IMAGINE
from storage.logs import log_to
from storage.service_errors import SERVICE_ERRORS, reason_of
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings

log = logging.getLogger(__name__)

UNPACED = 10**6  # requests a minute of a command that sends many by itself
RETRY_S = 10.0  # with queue and store: a script is better told than kept
STOP_S = 5  # a running job ends within two seconds of being asked to

Work = Callable[["Session"], Coroutine[Any, Any, CommandResult]]
Report = Callable[[CommandResult], None]


class Session:
    """One command at the terminal: the deployment, what runs around it, and the screen."""

    def __init__(self, darkroom: Darkroom, stack: Stack, screen: Screen, space: str = SPACE) -> None:
        self.darkroom, self.stack, self.screen, self.space = darkroom, stack, screen, space
        self.interrupted = False
        self._newest: dict[str, Reply] = {}  # by request

    async def ask(self, command: str, arguments: dict[str, str | None], uploads: tuple[Upload, ...] = ()) -> Reply:
        """Send a command, show how it goes, return the last reply."""
        given = {name: value for name, value in arguments.items() if value is not None}
        request = Request(
            space=self.space, user=USER, command=command, arguments=given, uploads=uploads, confirmed=True
        )  # what is to be asked was asked before there was a session; scripts are never asked
        return await self.follow(self.darkroom.answer(request), request.id)

    async def follow(self, replies: ReplyStream, job_id: str) -> Reply:
        """Show replies, and all about the job that is accepted; return the last. Ctrl-C asks the job to stop.

        Raises what queue or store fail with for longer than RETRY_S.
        """
        poster = InPlacePoster("terminal", self._show, RETRY_S)
        follower, post = Follower(self.darkroom, poster, NullPostStore()), poster.post(job_id, self.space)
        try:
            if accepted := await follower.show_all(replies, post):
                await follower.follow_to_end(accepted)
        except asyncio.CancelledError:
            await self._stop(post, follower)
        return self._newest.pop(job_id, Reply(text="Nothing happened.", state="failed"))

    async def _show(self, job_id: str, reply: Reply) -> None:
        """Show a reply; the first about a job starts a worker where there is none, and tells the job's note."""
        before = self._newest.get(job_id)
        if reply.job and reply.state == "working" and not (before and before.job):
            job = await self.darkroom.dispatch.job(reply.job)
            if note := presenter_of(job).note(job):
                self.screen.say(note)
            # Only now: a worker takes seconds to start, and bad input is answered before a job exists.
            self.stack.need_worker(*([job.kind] if job.is_understood else ()))
        self._newest[job_id] = reply
        self.screen.show(reply)

    async def _stop(self, post: Post, follower: Follower) -> None:
        """Ask a job to stop, and show its end if that comes soon."""
        self.interrupted = True
        self.screen.say("Stopping.")
        stopped = Reply(text="Stopped before anything was started.", state="cancelled")
        with suppress(*SERVICE_ERRORS):  # what is not confirmed is said below
            job = await self.darkroom.dispatch.job(post.job)
            stopped = Reply(text="Asked the job to stop; it has not confirmed yet.", state="cancelled", job=post.job)
            # The job is cancelled and not abandoned: another process may run it, and would go on for hours.
            await self.darkroom.dispatch.cancel(job)
            async with asyncio.timeout(STOP_S):
                await follower.follow_to_end(post)
        if self._newest.get(post.job, Reply(text="", state="working")).state == "working":
            self._newest[post.job] = stopped


def run(work: Work, as_json: bool, unpaced: bool = False) -> int:
    """Run a command that needs the deployment, print its result, return its exit status.

    An `unpaced` command may send as many requests a minute as it likes.
    """
    return run_to_result(lambda report: _in_session(work, report, unpaced), as_json)


def run_alone(start: Callable[[], Coroutine[Any, Any, CommandResult]], as_json: bool) -> int:
    """Run a command that needs nothing around it, print its result, return its exit status."""

    async def alone(report: Report) -> None:
        report(await start())

    return run_to_result(alone, as_json)


def run_to_result(work: Callable[[Report], Coroutine[Any, Any, None]], as_json: bool) -> int:
    """Run what reports a result; whatever happens, one result is printed. Return the exit status."""
    began_s = time.monotonic()
    codes: list[int] = []

    def report(result: CommandResult) -> None:
        if not codes:
            print_result(result, as_json, began_s)
        codes.append(result.code)

    try:
        asyncio.run(until_stopped(work(report)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        report(CommandResult(state="cancelled", message="Stopped.", code=INTERRUPTED))
    except UserError as error:
        report(failure(str(error), USAGE))
    except SetupError as error:
        report(failure(str(error)))
    except (StoreError, RedisError) as error:
        report(failure(f"The storage or the queue failed: {reason_of(error)}"))
    except Exception as error:
        log.exception("surprise")
        report(failure(f"Something went wrong on our side: {error!r}."))
    return codes[-1]


async def _in_session(work: Work, report: Report, unpaced: bool) -> None:
    settings, screen = load_settings(BotSettings), Screen()
    if unpaced:
        settings = settings.model_copy(update={"requests_per_minute": UNPACED})
    async with Stack(settings, screen.say) as stack:
        _log_to(settings.home / "darkroom.log")
        darkroom = await Darkroom.open(settings, stack.redis_url, short=True)
        session = Session(darkroom, stack, screen)
        try:
            with screen:
                result = await stack.during(work(session))
        finally:
            await darkroom.close()
        # before the stack is left, which may wait for other commands
        report(result.model_copy(update={"code": INTERRUPTED}) if session.interrupted else result)


def _log_to(path: Path) -> None:
    """Keep what only operators need off the screen: tracebacks of surprises, above all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log_to(path, logging.WARNING, "%(asctime)s %(name)s %(message)s")


async def train(session: Session, photos: list[Path], given: dict[str, str | None]) -> CommandResult:
    """Learn a subject from photo files."""
    uploads = await asyncio.to_thread(read_photos, photos, session.darkroom.settings)
    reply = await session.ask("dreambooth train", given, uploads)
    more: dict[str, Any] = dict.fromkeys(("subject", "name", "steps", "loss_first", "loss_last"))
    more["name"] = given.get("name")
    if reply.job:
        outcome = await session.darkroom.dispatch.outcome(reply.job)
        job = await session.darkroom.dispatch.job(reply.job)
        more["subject"] = next(iter(job.subjects), None)
        if outcome:
            more |= outcome.model_dump(include={"steps", "loss_first", "loss_last"})
    return await _with_choices(session, reply, given, more)


async def _with_choices(
    session: Session, reply: Reply, given: dict[str, str | None], more: dict[str, Any]
) -> CommandResult:
    """The result of an answer; what people choose by comes as a file, with how to choose: candidates, a first look."""
    if choices := [button.arguments for button in reply.buttons if button.command == "choose"]:
        sheet = await save(session.darkroom.store, reply.pictures[0], Path(), f"{given['name']}-choices")
        how = f"{sheet} shows them. Choose with: darkroom choose {choices[0]['job']} --step {choices[0]['step']}"
        reply = reply.model_copy(update={"text": f"{reply.text}\n{how}"})
        more["choices"] = {"picture": str(sheet), "steps": [int(choice["step"]) for choice in choices]}
    elif compared := next((p for p in reply.pictures if reply.job and p.key.endswith(f"/{COMPARED}")), None):
        sheet = await save(session.darkroom.store, compared, Path(), f"{given['name']}-compared")
        reply = reply.model_copy(update={"text": f"{reply.text}\n{sheet} shows both."})
        more["compared"] = str(sheet)
    return _result(reply, **more)


async def draw(session: Session, command: str, given: dict[str, str | None], out: Path) -> CommandResult:
    """Draw pictures, as `command` says, and save them as files in `out`."""
    check_writable(out)
    reply = await session.ask(command, given)
    more: dict[str, Any] = {"images": [], "grid": None, "seeds": [], "prompt": given.get("prompt"), "subject": None}
    if not reply.job:
        return _result(reply, **more)
    job = IMAGINE.job.model_validate_json((await session.darkroom.store.get(job_key(reply.job))).data)
    more["prompt"] = job.prompt
    images = [await save(session.darkroom.store, p, out, f"{job.id}-{p.seed}") for p in reply.pictures]
    more |= {
        "images": [str(i) for i in images],
        "seeds": [p.seed for p in reply.pictures],
        "subject": next(iter(job.subjects), None),
    }
    if reply.grid and len(images) > 1:
        more["grid"] = str(await save(session.darkroom.store, reply.grid, out, f"{job.id}-grid"))
    files = {f"picture {n}": str(path) for n, path in enumerate(images, 1)}
    return _result(reply.model_copy(update={"facts": files | reply.facts}), **more)


async def ask(session: Session, given: dict[str, str | None]) -> CommandResult:
    """Answer a question; as JSON with its sources, where they are cited, and what it took."""
    reply = await session.ask("ask", given)
    more: dict[str, Any] = {"question": given.get("question"), "answer": None}
    if outcome := await ASK.read_outcome(session.darkroom.store, reply.job) if reply.job else None:
        more["answer"] = outcome.answer.model_dump(mode="json") if outcome.answer else None
    return _result(reply, **more)


async def add_documents(session: Session, paths: list[Path]) -> CommandResult:
    """Add files as documents, those of folders too."""
    uploads = await asyncio.to_thread(read_documents, paths)
    return _result(await session.ask("documents add", {}, uploads))


async def plain(session: Session, command: str, arguments: dict[str, str | None]) -> CommandResult:
    """Any command that needs no files: its words, and as JSON its facts."""
    reply = await session.ask(command, arguments)
    return await _with_choices(session, reply, arguments, {"facts": reply.facts})


async def subjects(session: Session) -> CommandResult:
    """List the subjects; as JSON their records."""
    reply = await session.ask("dreambooth list", {})
    fields = {"id", "name", "state", "method", "identifier", "created_s"}
    known = await access.visible_subjects(session.darkroom, PERSON)
    rows = [{**s.model_dump(include=fields), "class": s.noun, "photos": len(s.photos)} for s in known]
    return _result(reply, subjects=rows)


async def jobs(session: Session) -> CommandResult:
    """List the jobs; as JSON each with its kind, arguments and state."""
    reply = await session.ask("jobs", {})
    rows = []
    for job in await session.darkroom.dispatch.jobs(SPACE):
        state, prompt = await _state(session, job.id), await access.visible_prompt(session.darkroom, PERSON, job)
        about = {"job": job.id, "kind": job.kind, "said": prompt, "subject": next(iter(job.subjects), None)}
        rows.append({**about, "state": state, "accepted_s": job.accepted_s})
    return _result(reply, jobs=rows)


async def status(session: Session) -> CommandResult:
    """Show what runs, what waits, and the workers; as JSON with all figures."""
    reply = await session.ask("status", {})
    seen = await deployment_status(session.darkroom, PERSON)
    return _result(reply, **seen.model_dump(mode="json"))


async def _state(session: Session, job: str) -> str:
    try:
        outcome = await session.darkroom.dispatch.outcome(job)
    except Damaged:
        return "damaged"
    return outcome.state if outcome else "open"


def _result(reply: Reply, **more: Any) -> CommandResult:
    result = CommandResult.from_reply(reply, **more)
    if reply.fault == "ours":
        return result.model_copy(update={"message": f"{result.message} `darkroom doctor` may know more."})
    return result
