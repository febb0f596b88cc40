"""Subjects as files: `darkroom export` and `darkroom import`. A process of the trainer does what needs PyTorch."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.arguments import prompts
from bot.arguments.arguments import ExportArguments, ImportArguments
from bot.arguments.validation import check
from bot.cli.options import Given
from bot.connectors.terminal.screen import CommandResult, Screen, in_terminal
from bot.core.local_space import PERSON, SPACE, USER
from bot.core.policy import visible_to
from bot.local.trainer_process import ask
from storage.contract.conversion import ExportRequest, ImportRequest
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, weights_prefix
from storage.errors import Damaged, UserError
from storage.objects.open import open_store
from storage.objects.store import Store
from storage.objects.transfers import file_hash
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings

WEIGHTS = "weights.safetensors"


async def export(given: Given, out: Path) -> CommandResult:
    """Write a subject into a folder of its own below `out`, as files that other programs read."""
    arguments = check(ExportArguments, given)
    settings = load_settings(BotSettings)
    store = await open_store(settings, short=True)
    subject = prompts.by_name(arguments.name, visible_to(PERSON.actor, await Subjects(store).in_space(SPACE)))
    if subject.state != "ready" or not subject.weights_key:
        raise UserError(f"{subject.name} is not ready yet.")
    target = (out / f"{subject.name}-{arguments.format}").resolve()
    # Never overwritten: the folder may hold an export that somebody has changed since.
    if target.exists():
        raise UserError(f"{target} already exists. Remove it, or choose another folder with --out.")
    with _folder(target.parent) as folder:
        (folder / "files").mkdir()
        request = ExportRequest(
            base_model=settings.base_model,
            learned_from=subject.base_model,
            **subject.model_dump(include={"base_revision", "base_sha256"}),
            weights=str(folder / WEIGHTS),
            folder=str(folder / "files"),
            name=subject.name,
            noun=subject.noun,
            identifier=subject.identifier,
            **arguments.model_dump(include={"format", "precision", "rank"}),
        )
        await store.get_file(subject.weights_key, folder / WEIGHTS)
        # In a thread: hashing gigabytes would stop the event loop, and Ctrl-C with it.
        if await asyncio.to_thread(file_hash, folder / WEIGHTS) != subject.weights_sha256:
            raise Damaged(f"The weights of {subject.name} are damaged in the store.")
        with Screen() as screen:
            ended = await ask(request, settings, screen.status)
        # Renamed at the end, in the same file system: an export that was broken off leaves no half folder.
        (folder / "files").rename(target)
    message = " ".join(filter(None, [f"{subject.name} is in {target}.", ended.says, _other_base(subject, settings)]))
    files = sorted(str(path) for path in target.rglob("*") if path.is_file())
    return CommandResult(
        state="done", message=message, more={"name": subject.name, "path": str(target), "files": files}
    )


async def import_(given: Given, file: Path) -> CommandResult:
    """Make a subject of a file that others have trained."""
    arguments = check(ImportArguments, given)
    if not file.exists():
        raise UserError(f"There is no file {file}.")
    settings = load_settings(BotSettings)
    store = await open_store(settings, short=True)
    if taken := await Subjects(store).find(SPACE, arguments.name):
        raise UserError(f"There is already a subject called {taken.name} here. Choose another name.")
    with _folder(settings.home) as folder:
        weights = folder / WEIGHTS
        request = ImportRequest(base_model=settings.base_model, file=str(file.resolve()), weights=str(weights))
        with Screen() as screen:
            ended = await ask(request, settings, screen.status)
        assert ended.method
        subject = Subject(
            space=SPACE,
            owner=USER,
            name=arguments.name,
            noun=arguments.noun,
            identifier=arguments.trigger,
            base_model=settings.base_model,
            base_revision=ended.base_revision,
            base_sha256=ended.base_sha256,
            state="ready",
            method=ended.method,
            recipe={"imported from": file.name},
        )
        await _publish(store, subject, weights)
    ready = f"{subject.name} is ready. Write [{subject.name}] in a prompt: /imagine a [{subject.name}] {subject.noun}"
    message = in_terminal(f"{ready} in Paris")
    more = {"subject": subject.id, "name": subject.name, "method": subject.method}
    return CommandResult(state="done", message=f"{ended.says} {message}".strip(), more=more)


async def _publish(store: Store, subject: Subject, weights: Path) -> None:
    """Store weights and record, in this order, or nothing."""
    sha256 = await asyncio.to_thread(file_hash, weights)
    key = f"{weights_prefix(subject.id)}imported/{sha256}.safetensors"
    try:
        await store.put_file(key, weights)
        await Subjects(store).add(subject.model_copy(update={"weights_key": key, "weights_sha256": sha256}))
    except BaseException:
        await Subjects(store).forget(subject)
        raise


def _other_base(subject: Subject, settings: BotSettings) -> str:
    if subject.base_sha256:  # then the trainer has compared them
        return ""
    if subject.base_model == settings.base_model:
        return ""
    return f"It was trained on {subject.base_model} and exported with {settings.base_model}: these should be the same."


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A folder below `parent` that is gone afterwards; raises UserError if there can be none."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=".part-", dir=parent)
    except OSError as error:
        raise UserError(f"Nothing can be written to {parent}: {error.strerror}.") from error
    with made as folder:
        yield Path(folder)
