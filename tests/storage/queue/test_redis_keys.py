"""Keys in a Redis that others use as well: none of theirs are looked through, and a prefix keeps deployments apart."""

from storage.kinds import KINDS
from storage.queue.redis_client import PrefixedRedis
from storage.queue.worker_registry import living_workers, register_worker, unregister_all, worker_key, workers_key
from storage.settings.shared import SharedSettings
from tests.servers.backing import valkey
from tests.servers.redis import connected, port_of, refusal, valkey_tcp
from trainer.worker.retry_limits import count_failed_attempt, failed_attempts


async def test_no_command_looks_through_all_keys() -> None:
    with valkey() as url:
        async with connected(url) as redis:
            for start in range(0, 60_000, 20_000):  # each takes less than a command may
                fill = "for i = 1, 20000 do redis.call('set', 'foreign:' .. ARGV[1] + i, '') end"
                await redis.eval(fill, 0, start)
            assert await redis.dbsize() == 60_000
            await redis.config_resetstat()
            await register_worker(redis, "a", KINDS, "")
            assert await living_workers(redis, "train") == [""]
            await unregister_all(redis)
            assert await living_workers(redis, "train") == []
            calls = await redis.info("commandstats")
            assert not {"cmdstat_scan", "cmdstat_keys"} & set(calls)


async def test_a_worker_that_died_is_not_counted_and_forgotten(redis: PrefixedRedis) -> None:
    await register_worker(redis, "dead", ["train"], "")
    await redis.delete(worker_key("dead", "train"))  # as it does by itself
    await register_worker(redis, "alive", ["train"], "disk")
    assert await living_workers(redis, "train") == ["disk"]
    await redis.zadd(workers_key("train"), {"dead": 1})
    await register_worker(redis, "alive", ["train"], "")
    assert await redis.zrange(workers_key("train"), 0, -1) == [b"alive"]


async def test_deployments_with_a_prefix_each_share_a_database() -> None:
    with valkey() as url:
        settings = [SharedSettings(DARKROOM_REDIS_PREFIX=prefix) for prefix in ("a:", "b:")]
        async with connected(url, settings[0]) as a, connected(url, settings[1]) as b, connected(url) as plain:
            await register_worker(a, "one", ["train"], "")
            assert await living_workers(a, "train") == [""] and not await living_workers(b, "train")
            assert await a.enqueue_job("f", _job_id="same", _queue_name="q")
            assert await b.enqueue_job("f", _job_id="same", _queue_name="q")
            assert not await a.enqueue_job("f", _job_id="same", _queue_name="q")
            assert await count_failed_attempt(a, "job", "crash") == 1
            assert await failed_attempts(b, "job", "crash") == 0
            assert [job.job_id for job in await a.queued_jobs(queue_name="q")] == ["same"]
            lock = a.lock("darkroom:leader:x", timeout=5)
            assert await lock.acquire(blocking=False) and await lock.reacquire()
            await lock.release()
            names = {key.decode() for key in await plain.keys()}
            assert names and all(name.startswith(("a:", "b:")) for name in names)
            assert {"a:arq:job:same", "b:arq:job:same", "a:q", "b:q"} <= names


async def test_a_user_of_one_prefix_needs_no_other_keys() -> None:
    with valkey_tcp() as admin:
        rights = "on >pw ~acme:darkroom:* ~acme:arq:* &acme:darkroom:* +@all -@admin -@dangerous".split()
        admin.execute_command("ACL", "SETUSER", "bot", *rights)
        url = f"redis://bot:pw@127.0.0.1:{port_of(admin)}/0"
        async with connected(url, SharedSettings(DARKROOM_REDIS_PREFIX="acme:")) as redis:
            assert await redis.enqueue_job("f", _job_id="x", _queue_name="darkroom:train")
        assert "~darkroom:*" in str(await refusal(url))
