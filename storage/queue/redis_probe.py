"""Try on Redis everything that Darkroom does with it later: a PING alone proves next to nothing.

The groups below name every command in use; a test compares them with what a whole deployment sends. What a group needs
is the newest of its commands, by https://valkey.io/commands. Everything is tried on keys that go away by themselves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from redis.exceptions import NoPermissionError, RedisError

from storage.failures import Failure
from storage.ids import new_id
from storage.probes import ProbeFailed, ProbeResult, expect
from storage.queue.redis_client import PrefixedRedis
from storage.queue.redis_errors import ERRORS, meaning_of, server_text

LEAST_VERSION = "6.2"  # ZMSCORE; scripts that write after TIME need 5.0
KEPT_S = 60  # what a probe that is cut short leaves
HEARD_S = 2.0  # a message to oneself takes milliseconds
MESSAGES = "pub/sub"  # what is published can be polled for as well
SCRIPT = """
local time = redis.call('time')
redis.call('hset', KEYS[1], 'a', cjson.encode({tonumber(time[1]), 'x'}))
redis.call('hset', KEYS[1], 'b', '1')
redis.call('hdel', KEYS[1], 'b')
local all, one = redis.call('hgetall', KEYS[1]), redis.call('hget', KEYS[1], 'a')
redis.call('zadd', KEYS[2], time[1], 'a', time[1], 'b')
redis.call('zremrangebyrank', KEYS[2], 0, -2)
redis.call('zremrangebyscore', KEYS[2], '-inf', 0)
redis.call('set', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('pexpire', KEYS[1], ARGV[2])
redis.call('pexpire', KEYS[2], ARGV[2])
redis.call('zrem', KEYS[2], 'c')
redis.call('del', KEYS[3])
redis.call('incr', KEYS[3])
redis.call('del', KEYS[3])
if redis.call('zscore', KEYS[2], 'b') and not redis.call('get', KEYS[3]) and cjson.decode(one)[2] == 'x' then
  return #all
end
return 0
"""


async def _strings(redis: PrefixedRedis, key: str) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        pipe.set(key, b"1", nx=True, ex=KEPT_S)
        pipe.set(key, b"2", nx=True, px=1000 * KEPT_S)
        pipe.get(key)
        pipe.mget([key, f"{key}:none"])
        pipe.exists(key, f"{key}:none")
        pipe.incr(key)
        pipe.psetex(key, 1000 * KEPT_S, b"5")
        pipe.setex(key, KEPT_S, b"5")
        pipe.expire(key, KEPT_S)
        pipe.ttl(key)
        pipe.delete(key)
        pipe.get(key)
        pipe.time()
        answers = await pipe.execute()
    expect(answers[0] and answers[1] is None, "SET with NX overwrites a key that is there")
    expect(answers[2:6] == [b"1", [b"1", None], 1, 2], "what was written is not what is read")
    expect(0 < answers[9] <= KEPT_S, "keys do not expire")
    expect(answers[11] is None, "what was deleted is still there")


async def _collections(redis: PrefixedRedis, key: str) -> None:
    kinds = [f"{key}:{kind}" for kind in ("hash", "list", "zset")]
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hsetnx(kinds[0], "a", "1")
        pipe.hmget(kinds[0], ["a", "b"])
        pipe.hdel(kinds[0], "a")
        pipe.lpush(kinds[1], 1, 2)
        pipe.ltrim(kinds[1], 0, 0)
        pipe.lrange(kinds[1], 0, -1)
        pipe.zadd(kinds[2], {"a": 1, "b": 2})
        pipe.zincrby(kinds[2], 2, "a")
        pipe.zrange(kinds[2], 0, -1)
        pipe.zrangebyscore(kinds[2], "-inf", 9, start=0, num=1)
        pipe.zscore(kinds[2], "a")
        pipe.zmscore(kinds[2], ["b", "c"])
        pipe.zcard(kinds[2])
        pipe.zrem(kinds[2], "a")
        for each in kinds:
            pipe.expire(each, KEPT_S)
        pipe.delete(*kinds)
        answers = await pipe.execute()
    read = [answers[1], answers[5], answers[8], answers[9], answers[10], answers[11], answers[12]]
    right = [[b"1", None], [b"2"], [b"b", b"a"], [b"b"], 3.0, [2.0, None], 2]
    expect(read == right, "lists, hashes or sorted sets do not hold what was written")


async def _transactions(redis: PrefixedRedis, key: str) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch(key)
        expect(not await pipe.exists(key), "a new key is there already")
        pipe.multi()  # type: ignore[no-untyped-call]
        pipe.psetex(key, 1000 * KEPT_S, b"1")
        pipe.get(key)
        pipe.delete(key)
        expect((await pipe.execute())[1] == b"1", "a transaction does not do what it is told")


async def _scripts(redis: PrefixedRedis, key: str) -> None:
    keys = [f"{key}:{n}" for n in range(3)]
    script = redis.register_script(SCRIPT)
    await redis.script_load(SCRIPT)  # which the other scripts still need
    expect(await script(keys=keys, args=["x", 1000 * KEPT_S]) == 2, "a script does not do what it is told")
    await redis.delete(*keys)


async def _messages(redis: PrefixedRedis, key: str) -> None:
    async with redis.pubsub() as listening:
        await listening.subscribe(redis.channel(key))
        async with asyncio.timeout(HEARD_S):
            await listening.get_message(timeout=HEARD_S)  # that it is subscribed
            await redis.publish(redis.channel(key), b"1")
            while not await listening.get_message(ignore_subscribe_messages=True, timeout=HEARD_S):
                pass


TRIED: dict[str, Callable[[PrefixedRedis, str], Awaitable[None]]] = {
    "keys": _strings,
    "hashes, lists and sorted sets": _collections,
    "transactions": _transactions,
    "Lua scripts": _scripts,
    MESSAGES: _messages,
}


class Server(NamedTuple):
    """What a server says of itself, as far as it does."""

    name: str = "Redis"
    version: str = ""
    mode: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


async def probe_redis(redis: PrefixedRedis) -> list[ProbeResult]:
    """Try all that is used; raises RedisError or OSError only where Redis does not answer at all."""
    await redis.ping()
    server = await _server(redis)
    if server.mode == "sentinel":
        return [ProbeResult("server", "this is a Sentinel, and no Redis: write redis-sentinel:// before it", "fail")]
    findings = []
    for name in TRIED:
        finding = await _tried(redis, name, server)
        if name == MESSAGES and finding.state == "fail":
            finding = finding._replace(state="warn", says=f"{finding.says}; progress is shown later without")
        findings.append(finding)
        if findings[-1].state == "fail" and findings[-1].failure is Failure.OUTAGE:
            break  # the rest would fail of the same
    return [ProbeResult("server", str(server)), *findings, *await _memory(redis)]


async def _tried(redis: PrefixedRedis, name: str, server: Server) -> ProbeResult:
    try:
        await TRIED[name](redis, f"darkroom:probe:{new_id()}")
    except ProbeFailed as error:
        return ProbeResult(name, f"{error}; this is {server}", "fail")
    except TimeoutError:
        return ProbeResult(name, "no answer in time", "fail", Failure.OUTAGE)
    except ERRORS as error:
        meaning = meaning_of(error)
        advice = _advice(error, server, redis.prefix)
        return ProbeResult(name, meaning.reason, "fail", meaning.failure, advice)
    return ProbeResult(name)


def _advice(error: Exception, server: Server, prefix: str) -> str:
    """What would help, where that is known."""
    if isinstance(error, NoPermissionError) or "ACL" in server_text(error):
        keys = f"~{prefix}darkroom:* ~{prefix}arq:* &{prefix}darkroom:*"
        return f"The user needs {keys} +@all -@admin -@dangerous, as docs/operating.md says."
    if "too old" in meaning_of(error).reason:
        return f"This is {server}; Redis from {LEAST_VERSION} on has all that is needed, and every Valkey."
    return ""


async def _server(redis: PrefixedRedis) -> Server:
    """Ask by HELLO, which anybody may (since Redis 6); by INFO where there is none."""
    try:
        answer: Any = await redis.execute_command("HELLO")
        facts = dict(zip(answer[::2], answer[1::2], strict=True)) if isinstance(answer, list) else answer
        facts_by_name = {_text(key): _text(value) for key, value in facts.items()}
        return Server(
            facts_by_name.get("server", "redis").capitalize(), facts_by_name.get("version", ""), facts_by_name["mode"]
        )
    except (RedisError, KeyError, TypeError, ValueError):
        pass
    try:
        info = await redis.info("server")
        mode = info.get("redis_mode") or info.get("server_mode") or ""
        return Server("Redis", str(info.get("redis_version", "")), str(mode))
    except RedisError:
        return Server()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


async def _memory(redis: PrefixedRedis) -> list[ProbeResult]:
    """Whether Redis would throw jobs away when it is full; nothing where it does not let us look."""
    try:
        info = await redis.info("memory")
    except RedisError:
        return []
    policy = info.get("maxmemory_policy", "noeviction")
    if not info.get("maxmemory") or policy == "noeviction":
        return []
    says = f"maxmemory-policy is {policy}: a full Redis drops keys, queued jobs too; set it to noeviction"
    return [ProbeResult("memory", says, "warn")]
