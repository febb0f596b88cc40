"""Following a training together with its first look: pictures from the photos alone, which are there in seconds."""

import asyncio
import logging
from collections.abc import AsyncIterator

from bot.core.dispatch import Dispatch
from storage.contract.outcomes import Outcome
from storage.contract.photo_source import FIRST_LOOK
from storage.contract.progress import Progress
from storage.errors import Damaged, Missing
from storage.kinds.imagine import IMAGINE, ImagineOutcome
from storage.kinds.train import TrainJob

log = logging.getLogger(__name__)

LIVE = "first_look"  # in what the progress of a training shows besides


async def follow_with_first_look(dispatch: Dispatch, job: TrainJob) -> AsyncIterator[Progress | Outcome]:
    """Follow a training as `Dispatch.follow` does; its progress shows its first look as soon as that is drawn."""
    following = dispatch.follow(job)

    async def next_news() -> Progress | Outcome:
        return await anext(following)

    look = asyncio.create_task(_first_look(dispatch, job.first_look))
    coming = asyncio.create_task(next_news())
    latest: Progress | None = None
    try:
        while True:
            await asyncio.wait([coming] if look.done() else [coming, look], return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                news = coming.result()
                if isinstance(news, Outcome):
                    yield news
                    return
                latest = news
                coming = asyncio.create_task(next_news())
            if latest:
                yield with_first_look(latest, look.result() if look.done() else None)
    finally:
        for task in (coming, look):
            task.cancel()
        await asyncio.wait([coming, look])


async def _first_look(dispatch: Dispatch, drawing: str) -> ImagineOutcome | None:
    """How the drawing of a first look has ended; None if it is deleted, or nobody can tell."""
    try:
        job = await dispatch.job(drawing)
        async for news in dispatch.follow(job):
            if isinstance(news, Outcome):
                return IMAGINE.typed(news)
    except Missing:
        return None
    except Damaged as error:
        log.error("a first look is left out: %s", error)
    return None


def with_first_look(progress: Progress, look: ImagineOutcome | None) -> Progress:
    """The progress of a training with its first look before sample pictures, or with why there is none."""
    if look is None or look.state not in ("done", "failed"):
        return progress
    if look.state == "failed":
        return progress.model_copy(update={"live": {**progress.live, LIVE: f"There is no first look: {look.message}"}})
    pictures = tuple(picture.model_copy(update={"caption": FIRST_LOOK}) for picture in look.pictures)
    shown = {"samples": (*pictures, *progress.samples), "live": {**progress.live, LIVE: f"{FIRST_LOOK}."}}
    return progress.model_copy(update=shown)
