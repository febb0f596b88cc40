"""Take back what was posted about jobs and subjects that are deleted: pictures leave messages, uploads are deleted."""

import asyncio
import logging
from collections import Counter
from contextlib import suppress

from tenacity import AsyncRetrying, retry_if_exception_type

from bot.delivery.posts import ChatRefused, ChatTrouble, MessageGone, Poster, RateLimited, UnknownTrouble
from bot.delivery.reliable_poster import RetryDeadline, pause_s
from bot.delivery.retry import OUTAGES
from storage.contract.posted_messages import RETRACTING, Posted
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Missing, Newer
from storage.objects.store import Store
from storage.service_errors import reason_of
from storage.text import plural

log = logging.getLogger(__name__)

AT_ONCE_S = 20.0  # whoever deletes something waits no longer for its messages
EVERY_S = 300.0  # what could not be done is tried again


class Retraction:
    """The posts of one platform that are to be taken back."""

    def __init__(self, store: Store, poster: Poster) -> None:
        self.store, self.poster, self.prefix = store, poster, f"{RETRACTING}{poster.platform}/"
        self._one_at_a_time = asyncio.Lock()

    async def forever(self) -> None:
        """Take back what is left, now and then; never raises, but for cancellation."""
        while True:
            try:
                await self._all(Counter(), 0.0)
            except OUTAGES as error:
                log.warning("what was posted cannot be taken back yet: %s", error)
            except Exception:
                log.exception("taking back what was posted failed")
            # Messages that a chat refused to change for now are tried again; nothing else waits for them.
            await asyncio.sleep(EVERY_S)

    async def now(self, since_s: float) -> str:
        """Take back what there is; say in a sentence what could not be of what was deleted since, empty if all could.

        Never raises for a store that fails: what this is called for is deleted by then, and the rest is done later.
        """
        failed: Counter[str] = Counter()
        left = "Some"
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(AT_ONCE_S):
                    await self._all(failed, since_s)
            names = await self.store.names(self.prefix)
            left = str(sum([await self._is_new(name, since_s) for name in names]) or "")
        except OUTAGES as error:
            log.warning("what was posted cannot be taken back yet: %s", reason_of(error))
        sentences = [
            f"{plural(count, 'message')} of mine could not be changed ({why})."
            for why, count in failed.items()
            if count
        ]
        if left:
            sentences.append(f"{left} of my messages and uploads will be taken back later.")
        return " ".join(sentences)

    async def _is_new(self, name: str, since_s: float) -> bool:
        """Whether a message is about what was deleted since; a note that cannot be read may be."""
        try:
            return (await self._read(name)).deleted_s >= since_s
        except (Damaged, Newer):
            return True
        except Missing:
            return False

    async def _read(self, name: str) -> Posted:
        return parsed_in_part(Posted, (await self.store.get(name)).data, name)

    async def _all(self, failed: Counter[str], since_s: float) -> None:
        """Take back everything; what cannot be, for good, is let go of, and counted by its reason if it is new."""
        async with self._one_at_a_time:
            for name in await self.store.names(self.prefix):
                is_new = True  # as far as is known
                try:
                    posted = await self._read(name)
                    is_new = posted.deleted_s >= since_s
                    await self._one(posted)
                except Missing:
                    continue
                except (ChatRefused, UnknownTrouble, Damaged) as error:
                    log.warning("a message stays as it is: %s", error)
                    failed[str(error)[:100]] += is_new
                except ValueError as error:  # an id that is none: one damaged note is not to hold up the others
                    log.error("the note %s is damaged: %s", name, error)
                    failed["where it is is damaged in the storage"] += is_new
                except Newer as error:
                    log.warning("a message is left to a newer version: %s", error)
                    continue
                except ChatTrouble as error:
                    log.info("a message is taken back later: %s", error)
                    await asyncio.sleep(error.retry_after_s if isinstance(error, RateLimited) else 0)
                    continue
                await self.store.delete(name)

    async def _one(self, posted: Posted) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(UnknownTrouble), wait=pause_s, stop=RetryDeadline(None), reraise=True
        )
        with suppress(MessageGone):
            await retrying(self.poster.retract, posted)
