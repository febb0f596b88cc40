"""Front ends of this machine: one message takes every reply, has no rate limit, and is kept by the front end itself."""

from collections.abc import Awaitable, Callable
from math import inf

from bot.core.local_space import SPACE, USER
from bot.core.messages import Reply
from bot.delivery.post_store import PostStore
from bot.delivery.posts import Post, Poster
from storage.contract.posted_messages import Posted

Show = Callable[[str, Reply], Awaitable[None]]  # has a message, by its id, say a reply; raises StoreError


class InPlacePoster(Poster):
    """A poster for which everything is an edit: new messages, words in private, refusals."""

    secrets_last_s = edit_every_s = 0.0
    # No limit: page and terminal are on this machine.
    channel_rate = space_rate = (1_000_000, 1.0)
    announces = False

    def __init__(self, platform: str, show: Show, retry_for_s: float = inf) -> None:
        self.platform, self.show, self.retry_for_s = platform, show, retry_for_s

    def post(self, job: str, space: str = SPACE) -> Post:
        """The message that stands for a request, and the job that may come of it."""
        return Post(platform=self.platform, job=job, space=space, channel="", user=USER, message=job)

    async def edit(self, post: Post, reply: Reply) -> Post:
        """Show a reply."""
        await self.show(post.message, reply)
        return post

    async def send(self, post: Post, reply: Reply, *, nonce: str, mention: bool) -> str:
        """Show a reply."""
        return (await self.edit(post, reply)).message

    async def send_ephemeral(self, post: Post, reply: Reply) -> None:
        """Show a reply: nobody else reads it."""
        await self.edit(post, reply)

    async def find(self, post: Post, nonce: str) -> str | None:
        """There never is another message."""
        return None

    async def retract(self, posted: Posted) -> None:
        """Do nothing: messages here are not recorded, so there is nothing to take back."""

    async def remove(self, post: Post) -> None:
        """The message stays, and says what is wrong."""


class NullPostStore(PostStore):
    """Keeps no posts: the front end's own record tells which of its messages are open."""

    def __init__(self) -> None:
        """Need neither store nor queue."""

    async def write(self, post: Post) -> None:
        """Keep nothing."""

    async def newest(self, post: Post) -> Post | None:
        """The post as it is."""
        return post

    async def close(self, post: Post) -> None:
        """Forget nothing."""
