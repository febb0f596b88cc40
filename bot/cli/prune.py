"""`darkroom prune`: delete old jobs and their pictures, and say which."""

from typing import Any

from bot.connectors.terminal.screen import CommandResult
from storage.errors import UserError
from storage.kinds.train import TrainJob
from storage.lifecycle.retention import prune
from storage.objects.open import open_store
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from storage.text import plural

DAY_S = 24 * 3600


async def result(older_days: float, dry_run: bool) -> CommandResult:
    """Delete what is older, or with `dry_run` say what would be; raises UserError, SetupError and StoreError."""
    if older_days < 1:
        raise UserError("Give --older a number of days, at least 1.")
    store = await open_store(load_settings(BotSettings))
    rows: list[dict[str, Any]] = []
    async for job, objects in prune(store, older_days * DAY_S, dry_run):
        about = {"job": job.id, "kind": job.kind, "said": job.said, "accepted_s": job.accepted_s}
        rows.append({**about, "space": job.space, "objects": objects})
    objects = sum(row["objects"] for row in rows)
    trainings = sum(row["kind"] == TrainJob.model_fields["kind"].default for row in rows)
    what = (
        f"{plural(len(rows) - trainings, 'drawing')} and {plural(trainings, 'training')}, {plural(objects, 'object')}"
    )
    return CommandResult(
        state="done",
        message=f"{'Would delete' if dry_run else 'Deleted'} {what} of more than {older_days:g} days ago.",
        more={"dry_run": dry_run, "objects": objects, "jobs": rows},
        table={row["job"]: row["said"] for row in rows},
    )
