"""What is tidied up every hour: a chore that fails does not keep the others from being done."""

import time
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from bot.maintenance import tidy
from storage.contract.posted_messages import Posted
from storage.errors import StoreError
from storage.ids import id_at
from storage.lifecycle import departures
from storage.objects.folder import FolderStore

OLD = id_at(1_600_000_000)


class FailingStore(FolderStore):
    """A folder of which one part cannot be listed."""

    async def names(self, prefix: str, filled: bool = False, *, after: str = "", most: int | None = None) -> list[str]:
        """Names, but of drafts."""
        if prefix.startswith("drafts/"):
            raise StoreError("The folder drafts cannot be read.")
        return await super().names(prefix, filled, after=after, most=most)


async def test_a_chore_that_fails_is_logged_and_the_others_are_done(
    tmp_path: Path, redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    store = FailingStore(tmp_path)
    await store.put(f"buttons/{OLD}", b"{}")
    await store.put(f"consents/{OLD}.json", b"{}")
    await departures.note(store, "discord:1")
    await tidy(store, redis, grace_s=0.0)
    assert await store.names("buttons/") == await store.names("consents/") == await store.names("departures/") == []
    assert "cannot tidy up drafts" in caplog.text and "drafts cannot be read" in caplog.text


async def test_what_no_bot_takes_back_is_let_go_of_after_months(tmp_path: Path, redis: ArqRedis) -> None:
    store = FolderStore(tmp_path)
    for name, deleted_s in (("old", 1.6e9), ("new", time.time()), ("unknown", 0.0)):
        note = Posted(platform="gone", message=name, deleted_s=deleted_s)
        await store.put(f"retracting/gone/{name}", note.model_dump_json().encode())
    await tidy(store, redis, grace_s=None)
    assert await store.names("retracting/") == ["retracting/gone/new", "retracting/gone/unknown"]


async def test_without_a_grace_nobody_who_left_is_forgotten(tmp_path: Path, redis: ArqRedis) -> None:
    store = FolderStore(tmp_path)
    await departures.note(store, "discord:1")
    await tidy(store, redis, grace_s=None)
    assert len(await store.names("departures/")) == 1
