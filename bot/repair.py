"""`darkroom repair`: list what is damaged in the store, and mend what can be. Nothing has to run for it."""

from collections.abc import AsyncIterator

import typer

from bot.answers.drafts import Draft, prefix
from bot.following.posts import Post
from bot.on_terminal import run_alone
from bot.terminal.screen import Result, in_terminal
from bot.web.chat_log import Message
from storage.files import Store
from storage.jobs import Stored
from storage.opening import open_store
from storage.repair import CHECKS, Check, Finding, damaged_records
from storage.settings import load_settings

MESSAGES: dict[str, tuple[str, type[Stored]]] = {  # by prefix: how names of their records end
    "chats/": (".json", Message),
    "posts/": (".json", Post),
    "drafts/": ("draft.json", Draft),
}


async def check_messages(store: Store, dry_run: bool) -> AsyncIterator[Finding]:
    """The web chat's messages, open messages of chats, and questions that wait for an answer."""
    for kind, (ending, record) in MESSAGES.items():
        async for key, error in damaged_records(store, kind, record, ending):
            yield Finding(key, error, "deleted")
            if not dry_run:
                await (store.delete_prefix(prefix(key.split("/")[1])) if kind == "drafts/" else store.delete(key))


ALL_CHECKS: tuple[Check, ...] = (*CHECKS, check_messages)


def run(dry_run: bool, as_json: bool) -> int:
    """Run all checks; exit status 1 if something damaged is left."""
    return run_alone(lambda: _repair(dry_run, as_json), as_json)


async def _repair(dry_run: bool, as_json: bool) -> Result:
    store, found = await open_store(load_settings()), list[Finding]()
    for check in ALL_CHECKS:
        async for finding in check(store, dry_run):
            found.append(finding)
            if not as_json:
                typer.echo(in_terminal(_line(finding, dry_run)))
    mended = [finding for finding in found if finding.mend]
    left = len(found) if dry_run else len(found) - len(mended)
    rows = [{"object": f.key, "problem": f.what, "mend": f.mend, "advice": f.advice} for f in found]
    more = {"dry_run": dry_run, "found": rows, "left": left}
    return Result(
        state="failed" if left else "done", message=_summary(found, mended, dry_run), code=bool(left), more=more
    )


def _line(finding: Finding, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    return f"{finding.key}: {finding.what} {f'→ {would}{finding.mend}' if finding.mend else f'→ {finding.advice}'}"


def _summary(found: list[Finding], mended: list[Finding], dry_run: bool) -> str:
    if not found:
        return "Nothing is damaged."
    if dry_run:
        return f"{len(found)} damaged, of which {len(mended)} can be mended. Nothing was changed."
    return f"{len(found)} damaged, of which {len(mended)} are mended."
