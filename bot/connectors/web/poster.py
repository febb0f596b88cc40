"""The page as a poster: each message takes the replies to what was said in it."""

from typing import Protocol

from bot.core.messages import Reply
from bot.delivery.in_place import InPlacePoster
from bot.delivery.posts import Post


class MessageLog(Protocol):
    """What has messages whose replies can be replaced."""

    async def update(self, message_id: str, reply: Reply) -> None:
        """Show a reply in a message; raises StoreError."""


class WebPoster(InPlacePoster):
    """Posts on the page; its chat keeps them."""

    platform = "web"

    def __init__(self, chat: MessageLog) -> None:
        self.chat = chat

    async def edit(self, post: Post, reply: Reply) -> Post:
        """Show a reply."""
        await self.chat.update(post.message, reply)
        return post
