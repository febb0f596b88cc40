"""What TensorBoard shows of a subject's trainings, fetched from the store into a folder: `darkroom logs`."""

import shlex
from pathlib import Path

from bot.arguments import prompts
from bot.arguments.arguments import SubjectArguments
from bot.arguments.validation import check
from bot.cli.options import Given
from bot.connectors.terminal.screen import CommandResult
from bot.core.local_space import PERSON, SPACE
from bot.core.policy import visible_to
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import logs_prefix
from storage.errors import UserError
from storage.objects.open import open_store
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings

NONE = "There are no training logs of {name}: the workers' DARKROOM_TRACKERS did not include tensorboard then."


async def fetch(given: Given, out: Path) -> CommandResult:
    """Fetch them into a folder of the subject's name below `out`, where a folder for each training is one run."""
    arguments = check(SubjectArguments, given)
    store = await open_store(load_settings(BotSettings), short=True)
    subject = prompts.by_name(arguments.name, visible_to(PERSON.actor, await Subjects(store).in_space(SPACE)))
    prefix = logs_prefix(subject.id)
    keys = await store.names(prefix)
    if not keys:
        raise UserError(NONE.format(name=subject.name))
    target = (out / subject.name).resolve()
    files = {key: target / key.removeprefix(prefix) for key in keys}
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Nothing can be written to {target}: {error.strerror}.") from error
    for key, path in files.items():
        await store.get_file(key, path)
    trainings = len({path.parent for path in files.values()})
    logs = f"logs of {trainings} trainings" if trainings > 1 else "log of one training"
    message = f"The {logs} of {subject.name}: look with `tensorboard --logdir {shlex.quote(str(target))}`."
    more = {"name": subject.name, "path": str(target), "files": [str(path) for path in files.values()]}
    return CommandResult(state="done", message=message, more=more)
