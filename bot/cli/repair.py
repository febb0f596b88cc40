"""`darkroom repair`: list what is damaged in the store, and mend what can be. Nothing has to run for it."""

from collections.abc import AsyncIterator

import typer

from bot.commands.consents import Consent
from bot.commands.drafts import Draft, prefix
from bot.connectors.terminal.connector import run_alone
from bot.connectors.terminal.screen import CommandResult, in_terminal
from bot.core.chat_log import ChatMessage
from bot.delivery.posts import Post
from storage.ask.documents import Document
from storage.contract.base import Stored
from storage.contract.posted_messages import Posted
from storage.lifecycle.departures import Departure
from storage.lifecycle.repair import CHECKS, RepairFinding, StoreCheck, damaged_records
from storage.objects.open import open_store
from storage.objects.store import Store
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings

MESSAGES: dict[str, tuple[str, type[Stored]]] = {  # by prefix: how names of their records end
    "chats/": (".json", ChatMessage),
    "posts/": (".json", Post),
    "drafts/": ("draft.json", Draft),
    "documents/": ("/record.json", Document),
    "consents/": (".json", Consent),
    "departures/": (".json", Departure),
    "retracting/": ("", Posted),
}


async def check_messages(store: Store, dry_run: bool) -> AsyncIterator[RepairFinding]:
    """The web chat's messages, open messages of chats and those to take back, questions, documents, departures."""
    for kind, (ending, record) in MESSAGES.items():
        async for key, error in damaged_records(store, kind, record, ending):
            yield RepairFinding(key, error, "deleted")
            if not dry_run:
                await _delete(store, kind, key)


async def _delete(store: Store, kind: str, key: str) -> None:
    """Delete a damaged record, with what lies beside it and is of no use without."""
    if kind == "drafts/":
        await store.delete_prefix(prefix(key.split("/")[1]))
    elif kind == "documents/":
        await store.delete_prefix(key.removesuffix("record.json"))
    else:
        await store.delete(key)


ALL_CHECKS: tuple[StoreCheck, ...] = (*CHECKS, check_messages)


def run(dry_run: bool, as_json: bool) -> int:
    """Run all checks; exit status 1 if something damaged is left."""
    return run_alone(lambda: _repair(dry_run, as_json), as_json)


async def _repair(dry_run: bool, as_json: bool) -> CommandResult:
    store, findings = await open_store(load_settings(BotSettings)), list[RepairFinding]()
    for check in ALL_CHECKS:
        async for finding in check(store, dry_run):
            findings.append(finding)
            if not as_json:
                typer.echo(in_terminal(_line(finding, dry_run)))
    mended = [finding for finding in findings if finding.mend]
    left = len(findings) if dry_run else len(findings) - len(mended)
    rows = [{"object": f.key, "problem": f.what, "mend": f.mend, "advice": f.advice} for f in findings]
    more = {"dry_run": dry_run, "found": rows, "left": left}
    return CommandResult(
        state="failed" if left else "done", message=_summary(findings, mended, dry_run), code=bool(left), more=more
    )


def _line(finding: RepairFinding, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    return f"{finding.key}: {finding.what} {f'→ {would}{finding.mend}' if finding.mend else f'→ {finding.advice}'}"


def _summary(findings: list[RepairFinding], mended: list[RepairFinding], dry_run: bool) -> str:
    if not findings:
        return "Nothing is damaged."
    if dry_run:
        return f"{len(findings)} damaged, of which {len(mended)} can be mended. Nothing was changed."
    return f"{len(findings)} damaged, of which {len(mended)} are mended."
