"""Redis fails over, drops idle connections and allows only a few: commands go on, and each is done once."""

import asyncio
from collections.abc import Callable

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from storage.contract.progress import Progress
from storage.queue.job_progress import write_progress
from storage.settings.shared import SharedSettings
from tests.servers.redis import connected, firewall, port_of, refusal, valkey_tcp


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
    """Primary or replica; nothing while it changes, which drops connections."""
    try:
        return str(server.info("replication")["role"])
    except RedisConnectionError:
        return ""


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
