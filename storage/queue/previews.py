"""Previews of pictures that are being drawn: small JPEGs in Redis, which expire, and a mark that somebody looks.

They are never written to the store, and end with their job. Without the mark none are made.
"""

from arq.connections import ArqRedis

PREVIEW_MAX_BYTES = 64 * 1024
KEPT_S = 30  # a preview that is older is no news
WANTED_S = 10  # after somebody was seen looking


def preview_key(job: str) -> str:
    """Key of the newest preview of a job."""
    return f"darkroom:preview:{job}"


def _wanted_key(job: str) -> str:
    return f"darkroom:preview-wanted:{job}"


async def want_previews(redis: ArqRedis, job: str) -> None:
    """Say that somebody looks at a job who may see it."""
    await redis.set(_wanted_key(job), b"1", ex=WANTED_S)


async def are_previews_wanted(redis: ArqRedis, job: str) -> bool:
    """Whether somebody looks at a job."""
    return bool(await redis.exists(_wanted_key(job)))


async def write_preview(redis: ArqRedis, job: str, jpeg: bytes) -> bool:
    """Keep a preview for a moment, in place of the one before; one that is too large is not kept."""
    if len(jpeg) > PREVIEW_MAX_BYTES:
        return False
    await redis.set(preview_key(job), jpeg, ex=KEPT_S)
    return True


async def read_preview(redis: ArqRedis, job: str) -> bytes | None:
    """The newest preview of a job, if there is one."""
    body: bytes | None = await redis.get(preview_key(job))
    return body
