"""Who has jobs in a space is known from day to day by reading new jobs only."""

from pathlib import Path

from arq.connections import ArqRedis

from bot.core.dispatch import Dispatch
from bot.core.job_owners import forget_owners, owners_of_jobs
from storage.ids import id_at
from storage.kinds.imagine import ImagineJob
from storage.objects.folder import FolderStore
from tests.bench.history_store import CountedFolder

SPACE, LONG_AGO_S = "discord:1", 1_700_000_000


async def accept(dispatch: Dispatch, owner: str, number: int | None = None) -> None:
    """A drawing of now, or one of long ago."""
    when = {} if number is None else {"id": id_at(LONG_AGO_S + number)}
    await dispatch.accept(ImagineJob(space=SPACE, owner=owner, prompt="a", model_prompt="a", seed=1, **when))


async def test_owners_of_old_jobs_are_remembered_and_new_jobs_are_read(tmp_path: Path, redis: ArqRedis) -> None:
    store = CountedFolder(tmp_path)
    dispatch = Dispatch(store, redis)
    for number in range(40):
        await accept(dispatch, "ada", number)
    assert await owners_of_jobs(redis, dispatch.index, SPACE) == {"ada"}
    await accept(dispatch, "bob")
    before = store.requests
    assert await owners_of_jobs(redis, dispatch.index, SPACE) == {"ada", "bob"}
    assert store.requests - before < 20
    await forget_owners(redis, [SPACE])
    assert await owners_of_jobs(redis, dispatch.index, SPACE) == {"ada", "bob"}
    assert store.requests - before > 40


async def test_what_another_version_remembers_is_read_anew(tmp_path: Path, redis: ArqRedis) -> None:
    dispatch = Dispatch(FolderStore(tmp_path), redis)
    await accept(dispatch, "ada")
    await owners_of_jobs(redis, dispatch.index, SPACE)
    for key in await redis.keys("*owners*"):
        await redis.set(key, b'{"owners": {"ada": 1}}')
    assert await owners_of_jobs(redis, dispatch.index, SPACE) == {"ada"}
