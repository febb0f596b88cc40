"""Check the set-up, line by line, and say what to do where something is wrong."""

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import typer

from bot.connectors.terminal.connector import run_alone
from bot.connectors.terminal.screen import CommandResult, Screen
from bot.core.checks import MARKS, Check, CheckState
from bot.local.stack import Stack
from bot.local.trainer_process import answer_of
from storage.base_models import TOYWORLD
from storage.errors import SetupError
from storage.kinds import KINDS
from storage.objects.open import make_store
from storage.objects.store_probe import probe_store
from storage.probes import ProbeResult, failed, sentences
from storage.queue import broker
from storage.queue.redis_errors import ERRORS
from storage.queue.redis_probe import probe_redis
from storage.queue.worker_registry import living_workers
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from storage.text import visible

TRAINER_CHECK_S = 180  # it may ask the hub, and rehearses steps on the base model
DISK_LEAST_BYTES, DISK_LITTLE_BYTES = 200 * 2**20, 2 * 2**30


def run(as_json: bool) -> int:
    """Run all checks, print each; exit status 1 if anything fails."""
    return run_alone(lambda: _examine(as_json), as_json)


async def _examine(as_json: bool) -> CommandResult:
    done = []
    async for check in checks():
        done.append(check)
        if not as_json:
            typer.echo(visible(f"{MARKS[check.state]} {check.name}: {check.says}"))
    failed = [c.name for c in done if c.state == "fail"]
    rows = [c.model_dump() for c in done]
    if failed:
        message = f"Darkroom cannot run here yet. To be fixed: {', '.join(failed)}."
        return CommandResult(state="failed", message=message, code=1, more={"checks": rows})
    return CommandResult(state="done", message="Darkroom can run here.", more={"checks": rows})


async def checks() -> AsyncIterator[Check]:
    """All checks, in the order in which trouble in one explains trouble in the next."""
    yield Check(name="Python", state="ok", says=f"{sys.version.split()[0]} in {sys.prefix}")
    try:
        settings, _ = load_settings(BotSettings), load_settings(TrainerSettings)
    except SetupError as error:
        yield Check(name="settings", state="fail", says=f"{error} See docs/settings.md.")
        return
    yield Check(name="settings", state="ok", says=f"DARKROOM_HOME is {settings.home}")
    yield _disk(settings)
    yield await _store(settings)
    with Screen() as screen:
        screen.status("Asking the queue and the trainer")
        for check in [*await _queue(settings), await _trainer(settings)]:
            yield check
    for check in judge(settings):
        yield check
    async for check in _chats(settings):
        yield check


def _disk(settings: BotSettings) -> Check:
    home, least = settings.home, settings.disk_least_bytes
    # The folder itself is made by the first command that needs it.
    nearest = next(p for p in (home, *home.absolute().parents) if p.exists())
    free = shutil.disk_usage(nearest).free
    state: CheckState = "ok"
    advice = ""
    if free < max(DISK_LITTLE_BYTES, least):
        state = "fail" if free < DISK_LEAST_BYTES else "warn"
        advice = (
            f": make room, or set DARKROOM_HOME to a larger disk; no worker takes a job below {least / 2**30:.1f} GiB"
        )
    return Check(name="disk", state=state, says=f"{free / 2**30:.1f} GiB free at {nearest}{advice}")


async def _store(settings: BotSettings) -> Check:
    try:
        findings = await probe_store(make_store(settings.store_url))
    except SetupError as error:
        return Check(name="store", state="fail", says=str(error))
    return _probed("store", settings.store_url, findings, "Check DARKROOM_STORE and the AWS_ settings.")


def _probed(name: str, where: str, findings: list[ProbeResult], advice: str) -> Check:
    """What a probe found: what works, what does not and why."""
    troubles = [finding for finding in findings if finding.state != "ok"]
    works = [finding._replace(says="") for finding in findings if finding.state == "ok" and not finding.says]
    says = [f"{where}: these work: {', '.join(finding.name for finding in works) or 'none'}"]
    says += [f"{finding.name}: {finding.says}" for finding in findings if finding.state == "ok" and finding.says]
    if not troubles:
        return Check(name=name, state="ok", says="; ".join(says))
    state: CheckState = "fail" if failed(troubles) else "warn"
    says_all = f"{'; '.join(says)}. These fail: {sentences(troubles)}"
    return Check(name=name, state=state, says=f"{says_all} {advice}" if state == "fail" else says_all)


def judge(settings: BotSettings) -> list[Check]:
    """Check whether a judge is configured, which evaluates subjects; Toyworld has its own."""
    if settings.base_model == TOYWORLD:
        return []
    if settings.judge:
        return [Check(name="judge", state="ok", says=f"{settings.judge} evaluates subjects")]
    says = (
        "there is no judge: subjects have no report card, the last step is kept instead of the best one, and there is "
        "no early stopping. Set DARKROOM_JUDGE to a CLIP model, like openai/clip-vit-base-patch32"
    )
    return [Check(name="judge", state="warn", says=says)]


async def _queue(settings: BotSettings) -> list[Check]:
    where = "REDIS_URL" if settings.redis_url else "the embedded Valkey"
    try:
        if settings.redis_url:
            return await _ask_queue(where, settings.redis_url, settings)
        # An embedded queue is started for the check, as any command would.
        async with Stack(settings, typer.echo) as stack:
            return await _ask_queue(where, stack.redis_url, settings)
    except SetupError as error:
        return [Check(name="queue", state="fail", says=str(error))]


async def _ask_queue(where: str, url: str, settings: BotSettings) -> list[Check]:
    try:
        async with aclosing(broker.open_client(url, settings)) as redis:
            probed = _probed("queue", where, await probe_redis(redis), "docs/operating.md says what Redis must allow.")
            # Asking such a Redis for workers would only fail again, with a worse message.
            if probed.state == "fail":
                return [probed]
            alive = {kind: await living_workers(redis, kind) for kind in KINDS}
    except ERRORS as error:
        raise broker.no_redis(url, error) from error
    return [probed, _workers(alive, settings)]


def _workers(alive: dict[str, list[str]], settings: BotSettings) -> Check:
    """Check the number of workers for each kind of job, by what each lacks to take one."""
    missing = [kind for kind, lacks in alive.items() if not lacks]
    if not missing:
        idle = {lack for lacks in alive.values() for lack in lacks if lack}
        says = ", ".join(f"{len(lacks)} for {kind}" for kind, lacks in alive.items())
        says += "".join(f"; some take no jobs, with too little {lack}: see their logs" for lack in sorted(idle))
        return Check(name="workers", state="warn" if idle else "ok", says=says)
    says = f"none for {' and '.join(missing)}; commands start one when they need it"
    if settings.redis_url:
        return Check(name="workers", state="warn", says=f"{says}, or run `darkroom worker` on the GPU host")
    return Check(name="workers", state="ok", says=says)


async def _chats(settings: BotSettings) -> AsyncIterator[Check]:
    """The chats that are configured. Their libraries are imported only then."""
    if settings.discord_token:
        from bot.connectors.discord import setup as discord_setup

        async for check in discord_setup.checks(settings):
            yield check
    if settings.slack_bot_token:
        from bot.connectors.slack import setup as slack_setup

        async for check in slack_setup.checks(settings):
            yield check


async def _trainer(settings: BotSettings) -> Check:
    """Ask the trainer in a process of its own: base model, device, everything that needs torch."""
    try:
        report = await answer_of("--check", TRAINER_CHECK_S)
    except TimeoutError:
        return Check(name="trainer", state="fail", says=f"no answer within {TRAINER_CHECK_S} s")
    except SetupError as error:
        advice = "`make setup` in Darkroom's checkout installs it; a host that runs only the bot does without."
        # With a queue elsewhere, workers are elsewhere too, and a host without PyTorch is as it should be.
        state: CheckState = "warn" if settings.redis_url else "fail"
        return Check(name="trainer", state=state, says=f"it does not run here ({error}). {advice}")
    return Check(name="trainer", state=report["state"], says=" ".join(report["lines"]))
