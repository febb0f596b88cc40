"""After a run in which objects were damaged: `darkroom repair` mends what can be, and the rest can be forgotten."""

import asyncio
import re
import time
from contextlib import suppress

from bot.cli.repair import ALL_CHECKS
from storage.contract.subjects import name_key
from storage.errors import DarkroomError
from storage.lifecycle.repair import RepairFinding
from tests.chaos.people import ask
from tests.chaos.scene import Scene

ANSWERS_WITHIN_S = 60.0


async def repaired(scene: Scene, dry_run: bool = False) -> list[RepairFinding]:
    """What `darkroom repair` finds."""
    return [finding for check in ALL_CHECKS async for finding in check(scene.store, dry_run)]


async def mend(scene: Scene) -> list[str]:
    """Repair the store and forget what repair leaves to people; return sentences about what was not right."""
    found = await repaired(scene)
    problems = [f"repair found {each.key}: {each.what}" for each in found if not touches(scene, each.key)]
    left = await repaired(scene, dry_run=True)
    problems += [f"repair has not mended {each.key}: {each.what}" for each in left if each.mend]
    damaged = {each.key.split("/")[1] for each in left if each.key.startswith("subjects/")}
    for name in [*scene.names]:
        holder = await _holder(scene, name)
        if holder in damaged:
            problems += await _forget(scene, name)
    problems += [f"{each.key} stays damaged: {each.what}" for each in await repaired(scene, dry_run=True)]
    return problems


def touches(scene: Scene, text: str) -> bool:
    """Whether a key, or a sentence, is about something that was damaged, or that a damaged record tells of."""
    return any(key in text for key in scene.damaged) or bool(scene.touched & {*re.findall(r"[0-9a-f]{20}", text)})


async def _holder(scene: Scene, name: str) -> str:
    with suppress(DarkroomError):
        return (await scene.store.get(name_key("local", name))).data.decode(errors="replace")
    return ""


async def _forget(scene: Scene, name: str) -> list[str]:
    await ask(scene.chat, "dreambooth forget", name=name)
    message, until_s = next(reversed(scene.chat.messages)), time.monotonic() + ANSWERS_WITHIN_S
    while not scene.chat.at_rest and time.monotonic() < until_s:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    said = scene.chat.messages[message].reply
    return [] if said.state == "done" else [f"{name}, which is damaged, cannot be forgotten: {said.text}"]
