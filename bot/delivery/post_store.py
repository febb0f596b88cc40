"""The open posts of a platform, in the object store; what lets anybody write as the bot is apart, in Redis.

Tokens of interactions and response URLs are good for minutes, and lapse there.
"""

import json
import logging
import time
from contextlib import suppress

from arq.connections import ArqRedis

from bot.delivery.posts import Post
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Missing, Newer
from storage.objects.store import Store
from storage.queue.redis_errors import best_effort

log = logging.getLogger(__name__)

POSTS = "posts/"
SECRETS = ("token", "response_url")  # in Post.extra: what a chat takes for a few minutes in place of the bot's token


class PostStore:
    """The open posts of one platform, in the object store; their secrets are in Redis as long as they are good."""

    def __init__(self, store: Store, platform: str, redis: ArqRedis, secrets_last_s: float) -> None:
        self.store, self.prefix = store, f"{POSTS}{platform}/"
        self.redis, self.secrets_last_s = redis, secrets_last_s

    async def write(self, post: Post) -> None:
        """Keep a post as it is now."""
        await self.store.put(f"{self.prefix}{post.job}.json", _without_secrets(post).model_dump_json().encode())
        secrets = {name: value for name, value in post.extra.items() if name in SECRETS}
        # Redis forgets them when they end: the store keeps objects for ever, and its backups longer.
        left_s = int(post.asked_s + self.secrets_last_s - time.time())
        if secrets and left_s > 0:
            with best_effort("the bot's own token has to do after a restart"):
                await self.redis.set(self._secrets_key(post.job), json.dumps(secrets), ex=left_s)

    async def close(self, post: Post) -> None:
        """Delete a post whose final message is confirmed."""
        await self.store.delete(f"{self.prefix}{post.job}.json")
        with best_effort("tokens of a message that is done lapse by themselves"):
            await self.redis.delete(self._secrets_key(post.job))

    async def open(self) -> list[Post]:
        """All posts that wait for more, oldest first."""
        await sweep(self.store)
        posts = [await self._read(name) for name in await self.store.names(self.prefix)]
        return [post for post in posts if post]

    async def newest(self, post: Post) -> Post | None:
        """A post as it was written last; None if it is closed, or cannot be read."""
        return await self._read(f"{self.prefix}{post.job}.json")

    async def _read(self, name: str) -> Post | None:
        try:
            post = parsed_in_part(Post, (await self.store.get(name)).data, name)
        except Missing:  # closed just now
            return None
        except (Damaged, Newer) as error:
            log.error("an open message is left as it is: %s", error)
            return None
        return post.model_copy(update={"extra": {**post.extra, **await self._secrets(post.job)}})

    async def _secrets(self, job: str) -> dict[str, str]:
        """The tokens and URLs of a post that are still good."""
        with best_effort("the bot's own token has to do"), suppress(ValueError):
            return dict(json.loads(await self.redis.get(self._secrets_key(job)) or b"{}"))
        return {}

    def _secrets_key(self, job: str) -> str:
        return f"darkroom:{self.prefix}{job}:secrets"


async def sweep(store: Store) -> None:
    """Take secrets out of the posts that were written before these went to Redis."""
    for name in await store.names(POSTS):
        with suppress(Missing, Damaged, Newer):
            data, tag = await store.get(name)
            post = parsed_in_part(Post, data, name)
            if post != (clean := _without_secrets(post)):
                await store.replace(name, clean.model_dump_json().encode(), tag)


def _without_secrets(post: Post) -> Post:
    extra = {name: value for name, value in post.extra.items() if name not in SECRETS}
    return post.model_copy(update={"extra": extra})
