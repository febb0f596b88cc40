"""Faults of disks and of what lies on them: they are full, and objects are damaged."""

import asyncio
import logging
import re
from contextlib import suppress
from random import Random

from storage.errors import Missing, StoreError
from tests.chaos.disks import filled
from tests.chaos.scene import Scene

LONGEST_S = 7.0
KINDS = {  # of objects
    "job": r"jobs/[^/]+/job\.json",
    "outcome": r"jobs/[^/]+/outcome\.json",
    "picture": r"jobs/.+\.png",
    "subject": r"subjects/[^/]+/subject\.json",
    "photo": r"subjects/[^/]+/photos/.+",
    "weights": r"subjects/[^/]+/weights/.+",
    "checkpoint": r"subjects/[^/]+/checkpoints/.+",
    "class set": r"classes/.+",
    "name": r"names/.+",
    "message": r"chats/.+",
    "receipt": r"receipts/.+",
    "forgetting": r"forgetting/.+",
    "draft": r"drafts/.+",
    "index": r"(indexes|upkeep)/.+",
    "entry": r"(open|jobs-of|jobs-about|jobs-under)/.+",
}
log = logging.getLogger("chaos")


async def fill_home(scene: Scene, chance: Random) -> None:
    """The disk of a worker is full for a while."""
    worker = chance.choice(scene.workers)
    if not worker.has_disk:
        return log.info("skipped: no disk can be mounted here")
    with filled(worker.home):
        await asyncio.sleep(chance.uniform(1, LONGEST_S))


async def fill_store(scene: Scene, chance: Random) -> None:
    """The disk of the folder store is full for a while."""
    if not scene.store_has_disk:
        return log.info("skipped: the store is on no disk of ours")
    with filled(scene.folder / "disk"):
        await asyncio.sleep(chance.uniform(1, LONGEST_S))


async def damage(scene: Scene, chance: Random) -> None:
    """One object is damaged: a bit is flipped that makes text of no kind, or the end is missing."""
    names = await scene.store.names("")
    for kind in chance.sample(sorted(KINDS), len(KINDS)):
        if of_kind := [name for name in names if re.fullmatch(KINDS[kind], name) and name not in scene.damaged]:
            return await _damage(scene, chance.choice(of_kind), kind, chance)


async def _damage(scene: Scene, name: str, kind: str, chance: Random) -> None:
    with suppress(Missing, StoreError):
        data, tag = await scene.store.get(name)
        if not data and kind != "entry":  # a free name
            return
        scene.damaged.add(name)
        if data and kind != "receipt":
            scene.touched |= {found.decode() for found in re.findall(rb"[0-9a-f]{20}", data[:20_000])}
        if not await scene.store.replace(name, damaged(data, chance), tag):  # changed or gone since
            scene.damaged.discard(name)
        else:
            log.info("damaged the %s %s", kind, name)


def damaged(data: bytes, chance: Random) -> bytes:
    """Other bytes, in a way that can be told in text: a byte of which is none of ASCII, or half of it."""
    if len(data) < 2:
        return b"\xff"
    if chance.random() < 0.5:
        return data[: len(data) // 2]
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :]
