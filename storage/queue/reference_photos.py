"""How many photos the workers' base model draws from with nothing learned, so that bots know of first looks."""

from arq.connections import ArqRedis

REFERENCES_KEY = "darkroom:references"
KEPT_S = 24 * 3600  # workers may be away for a while: what is asked for waits for them


async def note_references(redis: ArqRedis, count: int) -> None:
    """Note how many photos a drawing may refer to; 0: none."""
    await redis.set(REFERENCES_KEY, count, ex=KEPT_S)


async def noted_references(redis: ArqRedis) -> int:
    """The number that a worker noted last; 0 where none has."""
    noted: bytes | None = await redis.get(REFERENCES_KEY)
    return int(noted) if noted and noted.isdigit() else 0
