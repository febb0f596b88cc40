"""Redis as people run it: restricted users, replicas, clusters, full, too old, failing over, with few connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from storage.contract.progress import Progress
from storage.errors import SetupError
from storage.failures import Failure
from storage.kinds import KINDS
from storage.queue import broker
from storage.queue.failed_attempts import count_failed_attempt, failed_attempts
from storage.queue.job_progress import write_progress
from storage.queue.redis_client import PrefixedRedis
from storage.queue.redis_errors import ERRORS
from storage.queue.redis_probe import probe_redis
from storage.queue.worker_registry import living_workers, register_worker, unregister_all, worker_key, workers_key
from storage.service_errors import Patience, failure_of, reason_of
from storage.settings.shared import SharedSettings
from tests.servers.backing import valkey
from tests.servers.redis import firewall, port_of, valkey_tcp

DOCUMENTED = "on >pw ~darkroom:* ~arq:* &darkroom:* +@all -@admin -@dangerous".split()


@asynccontextmanager
async def connected(url: str, settings: SharedSettings | None = None) -> AsyncIterator[PrefixedRedis]:
    redis = await broker.connect(url, settings)
    try:
        yield redis
    finally:
        await redis.aclose()


async def refusal(url: str, settings: SharedSettings | None = None) -> broker.NoRedis:
    with pytest.raises(broker.NoRedis) as caught:
        await broker.connect(url, settings)
    return caught.value


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not is_so():  # noqa: ASYNC110 (a server that can only be asked)
            await asyncio.sleep(0.05)


def failing_over(sentinel: Redis) -> bool:
    """Have a replica become primary; tell whether Sentinel knows one that is good enough yet."""
    try:
        return bool(sentinel.execute_command("SENTINEL", "FAILOVER", "main"))
    except ResponseError:
        return False


def role(server: Redis) -> str:
    return str(server.info("replication")["role"])


# what the probe says


async def test_a_plain_server_does_all_that_is_needed_and_nothing_is_left(redis: PrefixedRedis) -> None:
    findings = await probe_redis(redis)
    assert {finding.state for finding in findings} == {"ok"}
    assert findings[0].says.startswith(("Valkey", "Redis"))
    assert await redis.dbsize() == 0


async def test_a_user_without_info_can_do_all_that_is_needed() -> None:
    with valkey_tcp() as admin:
        admin.execute_command("ACL", "SETUSER", "bot", *DOCUMENTED)
        async with connected(f"redis://bot:pw@127.0.0.1:{port_of(admin)}/0") as redis:
            assert {finding.state for finding in await probe_redis(redis)} == {"ok"}


@pytest.mark.parametrize(
    ("taken", "says"),
    [
        ("-evalsha", "Lua scripts: its access control list forbids it: the 'evalsha' command"),
        ("-zmscore", "sorted sets: its access control list forbids it: the 'zmscore' command"),
        ("-watch", "transactions: its access control list forbids it: the 'watch' command"),
        ("resetkeys", "keys, hashes, lists and sorted sets, transactions, Lua scripts: its access control list"),
    ],
)
async def test_a_right_that_is_missing_is_named(taken: str, says: str) -> None:
    with valkey_tcp() as admin:
        admin.execute_command("ACL", "SETUSER", "bot", *DOCUMENTED, taken)
        refused = await refusal(f"redis://bot:pw@127.0.0.1:{port_of(admin)}/0")
        assert says in str(refused) and "The user needs ~darkroom:* ~arq:* &darkroom:* +@all" in str(refused)
        assert refused.failure is Failure.PERMANENT and "pw" not in str(refused)
        with pytest.raises(SetupError, match="access control list"):  # it would not change by waiting
            await asyncio.wait_for(broker.connect_patiently(f"redis://bot:pw@127.0.0.1:{port_of(admin)}"), 10)


async def test_a_user_without_channels_is_warned_and_works() -> None:
    with valkey_tcp() as admin:
        admin.execute_command("ACL", "SETUSER", "bot", *DOCUMENTED, "resetchannels")
        async with connected(f"redis://bot:pw@127.0.0.1:{port_of(admin)}/0") as redis:
            (warning,) = [finding for finding in await probe_redis(redis) if finding.state != "ok"]
            assert warning.name == "pub/sub" and warning.state == "warn" and "a channel" in warning.says


async def test_servers_that_answer_ping_and_take_no_writes_are_refused_with_the_reason() -> None:
    with valkey_tcp() as admin:
        url = f"redis://127.0.0.1:{port_of(admin)}/0"
        admin.config_set("maxmemory", "1mb")
        full = await refusal(url)
        assert "memory is full" in str(full) and full.failure is Failure.OUTAGE
        admin.config_set("maxmemory", "0")
        admin.config_set("min-replicas-to-write", "1")
        assert "too few replicas" in str(await refusal(url))
        admin.config_set("min-replicas-to-write", "0")
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        replica = await refusal(url)
        assert "it is a replica" in str(replica) and replica.failure is Failure.OUTAGE
        admin.config_set("replica-serve-stale-data", "no")
        assert "has lost its primary" in str(await refusal(url))


async def test_who_may_not_in_is_told_so_and_not_that_there_is_no_redis() -> None:
    with valkey_tcp() as admin:
        admin.config_set("requirepass", "right")
        for secret, says in {"": "it wants a password", ":wrong@": "does not let us in"}.items():
            refused = await refusal(f"redis://{secret}127.0.0.1:{port_of(admin)}/0")
            assert says in str(refused) and refused.failure is Failure.PERMANENT
        refused = await refusal(f"redis://:right@127.0.0.1:{port_of(admin)}/99")
        assert "no database of the number" in str(refused)


async def test_a_node_of_a_cluster_is_refused() -> None:
    with valkey_tcp("cluster-enabled yes") as admin:
        url = f"redis://127.0.0.1:{port_of(admin)}/0"
        assert "node of a Redis Cluster" in str(await refusal(url))  # no slots yet: CLUSTERDOWN
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 100)
        refused = await refusal(url)  # MOVED, CROSSSLOT
        assert "node of a Redis Cluster" in str(refused) and refused.failure is Failure.PERMANENT


async def test_a_server_that_is_too_old_is_named_with_the_version_that_would_do() -> None:
    with valkey(config='rename-command ZMSCORE ""\nrename-command HELLO ""') as url:
        refused = await refusal(url)
        assert "unknown command 'ZMSCORE'" in str(refused)
        assert "This is Redis 7.2.4; Redis from 6.2 on" in str(refused)  # as Valkey calls itself in INFO
    with valkey(config='rename-command INFO ""\nrename-command HELLO ""') as url:
        async with connected(url) as redis:  # neither is needed
            assert (await probe_redis(redis))[0].says == "Redis"


async def test_a_redis_that_drops_keys_when_full_is_warned_of(redis: PrefixedRedis) -> None:
    await redis.config_set("maxmemory", "100mb")
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    (warning,) = [finding for finding in await probe_redis(redis) if finding.state == "warn"]
    assert "allkeys-lru" in warning.says and "noeviction" in warning.says


async def test_a_service_waits_for_a_replica_to_become_primary() -> None:
    with valkey_tcp() as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        waiting = asyncio.create_task(broker.connect_patiently(f"redis://127.0.0.1:{port_of(admin)}/0"))
        await asyncio.sleep(1)
        assert not waiting.done()
        admin.execute_command("REPLICAOF", "NO", "ONE")
        await (await asyncio.wait_for(waiting, 30)).aclose()


# failover, idle connections, few connections


async def test_after_a_failover_the_next_command_reaches_the_new_primary() -> None:
    """By a name that leads elsewhere from now on; the old primary lives on as a replica, and keeps its connections."""
    with valkey_tcp() as old, valkey_tcp() as new:
        async with firewall(port_of(old)) as (wall, url), connected(url) as redis:
            await asyncio.gather(*(redis.set(f"k{n}", "1") for n in range(20)))
            new.execute_command("REPLICAOF", "127.0.0.1", port_of(old))
            await until(lambda: new.dbsize() == 20)
            new.execute_command("REPLICAOF", "NO", "ONE")
            wall.port = port_of(new)
            old.execute_command("REPLICAOF", "127.0.0.1", port_of(new))
            for n in range(20):
                await redis.set(f"k{n}", "2")
                await write_progress(redis, Progress(job="0" * 20, phase="loading"))
                async with redis.pipeline(transaction=True) as pipe:
                    pipe.incr("counted")
                    await pipe.execute()
            assert new.get("counted") == b"20"


async def test_sentinel_leads_to_the_primary_before_and_after_a_failover() -> None:
    with valkey_tcp() as first, valkey_tcp("") as second:
        second.execute_command("REPLICAOF", "127.0.0.1", port_of(first))
        watched = f"sentinel monitor main 127.0.0.1 {port_of(first)} 1\nsentinel down-after-milliseconds main 1000\n"
        with valkey_tcp(f"{watched}sentinel failover-timeout main 3000", sentinel=True) as sentinel:
            nobody = "127.0.0.1:1"
            url = f"redis-sentinel://{nobody},127.0.0.1:{port_of(sentinel)}/0/main"
            async with connected(url) as redis, asyncio.timeout(120):
                await redis.set("a", "1")
                assert first.get("a") == b"1"
                await until(lambda: bool(sentinel.sentinel_slaves("main")))
                await until(lambda: first.info("replication").get("connected_slaves") == 1)
                await until(lambda: failing_over(sentinel))
                await until(lambda: role(second) == "master" and role(first) == "slave")
                await redis.set("a", "2")
                assert second.get("a") == b"2"
            refused = await refusal(f"redis-sentinel://127.0.0.1:{port_of(sentinel)}/nosuch")
            assert "no Sentinel knows" in str(refused)
            assert "write redis-sentinel://" in str(await refusal(f"redis://127.0.0.1:{port_of(sentinel)}"))


async def test_idle_connections_that_were_dropped_are_made_anew() -> None:
    with valkey_tcp() as admin:
        async with firewall(port_of(admin)) as (wall, url), connected(url) as redis:
            for forget in (wall.drop, wall.swallow, wall.drop):
                await asyncio.gather(*(redis.incr("n") for _ in range(16)))
                forget()
                await asyncio.sleep(2.2)  # idle for as long as makes them be asked
                await asyncio.gather(*(redis.incr("n") for _ in range(16)))
            assert await redis.get("n") == b"96", "each command once"


async def test_a_server_that_closes_idle_connections_fails_no_command() -> None:
    with valkey_tcp("timeout 1") as admin:
        async with connected(f"redis://127.0.0.1:{port_of(admin)}/0") as redis:
            for pause_s in (0.9, 1.0, 1.1, 2.5):
                await asyncio.gather(*(redis.incr("n") for _ in range(8)))
                await asyncio.sleep(pause_s)
            assert await redis.get("n") == b"32"


async def test_forty_wait_for_a_server_that_allows_twenty_connections() -> None:
    with valkey_tcp("maxclients 20") as admin:  # of which its administrator has one
        url = f"redis://127.0.0.1:{port_of(admin)}/0"
        async with connected(url) as one, connected(url) as two, connected(url) as three:
            for _ in range(5):
                await asyncio.gather(*(redis.incr("n") for redis in (one, two, three) for _ in range(40)))
            assert await one.get("n") == b"600"
            assert admin.info("clients")["connected_clients"] <= 20


async def test_one_pool_has_no_more_connections_than_the_setting_says() -> None:
    with valkey_tcp() as admin:
        url = f"redis://127.0.0.1:{port_of(admin)}/0"
        async with connected(url, SharedSettings(DARKROOM_REDIS_CONNECTIONS=3)) as redis:
            await asyncio.gather(*(redis.incr("n") for _ in range(200)))
            assert admin.info("clients")["connected_clients"] <= 1 + 3


# other people's keys


async def test_no_command_looks_through_all_keys() -> None:
    with valkey() as url:
        async with connected(url) as redis:
            for start in range(0, 300_000, 20_000):  # each takes less than a command may
                fill = "for i = 1, 20000 do redis.call('set', 'foreign:' .. ARGV[1] + i, '') end"
                await redis.eval(fill, 0, start)
            assert await redis.dbsize() == 300_000
            await redis.config_resetstat()
            await register_worker(redis, "a", KINDS, "")
            began_s = time.monotonic()
            for _ in range(200):
                assert await living_workers(redis, "train") == [""]
            assert time.monotonic() - began_s < 5
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


# kinds of failure


async def test_a_server_in_protected_mode_is_named_as_such() -> None:
    hung_up = asyncio.Event()

    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-DENIED Redis is running in protected mode because no password is set.\r\n")
        with suppress(OSError):
            await reader.read()
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(deny, "127.0.0.1", 0)
    redis = broker.open_client(f"redis://:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    with pytest.raises(ERRORS) as caught:
        await redis.get("x")
    await redis.aclose()
    await hung_up.wait()
    server.close()
    assert failure_of(caught.value) is Failure.PERMANENT
    assert "protected mode" in reason_of(caught.value)


async def test_patience_ends_with_what_will_not_change_and_with_what_nobody_knows() -> None:
    with valkey_tcp() as admin:
        admin.execute_command("ACL", "SETUSER", "bot", "on", "nopass", "allkeys", "+ping", "+hello")
        redis = broker.open_client(f"redis://bot:x@127.0.0.1:{port_of(admin)}/0")
        with pytest.raises(Exception, match="permissions") as caught:
            await redis.get("x")
        await redis.aclose()
        assert failure_of(caught.value) is Failure.PERMANENT
        with pytest.raises(SetupError, match="the 'get' command"):
            Patience().bear(caught.value)
    Patience().bear(ConnectionResetError())
    patience = Patience(unknown_s=0)
    patience.bear(ValueError("what is this"))
    with pytest.raises(SetupError):
        await asyncio.sleep(0.01)
        patience.bear(ValueError("what is this"))
