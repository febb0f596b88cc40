"""Redis as people run it: restricted users, replicas, clusters, full, too old; and what kind each failure is."""

import asyncio
from contextlib import suppress

import pytest

from storage.errors import SetupError
from storage.failures import Failure
from storage.queue import broker
from storage.queue.redis_client import PrefixedRedis
from storage.queue.redis_errors import ERRORS
from storage.queue.redis_probe import probe_redis
from storage.service_errors import RetryPolicy, failure_of, reason_of
from tests.servers.backing import valkey
from tests.servers.redis import connected, port_of, refusal, valkey_tcp

DOCUMENTED = "on >pw ~darkroom:* ~arq:* &darkroom:* +@all -@admin -@dangerous".split()


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
            await asyncio.wait_for(broker.connect_patiently(f"redis://bot:pw@127.0.0.1:{port_of(admin)}"), 60)


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
    await redis.config_set("maxmemory", "0")
    await redis.config_set("maxmemory-policy", "noeviction")
    assert "allkeys-lru" in warning.says and "noeviction" in warning.says


async def test_a_service_waits_for_a_replica_to_become_primary() -> None:
    with valkey_tcp() as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        waiting = asyncio.create_task(broker.connect_patiently(f"redis://127.0.0.1:{port_of(admin)}/0"))
        await asyncio.sleep(1)
        assert not waiting.done()
        admin.execute_command("REPLICAOF", "NO", "ONE")
        await (await asyncio.wait_for(waiting, 120)).aclose()


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
            RetryPolicy().failed(caught.value)
    RetryPolicy().failed(ConnectionResetError())
    retry_policy = RetryPolicy(unknown_s=0)
    retry_policy.failed(ValueError("what is this"))
    with pytest.raises(SetupError):
        await asyncio.sleep(0.01)
        retry_policy.failed(ValueError("what is this"))
