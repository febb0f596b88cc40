"""Previews from a real worker: made while somebody looks, gone with the job, never in the store."""

import asyncio
import io

import pytest
from PIL import Image

from bot.app import Darkroom
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from storage.queue.previews import read_preview, want_previews
from tests.conftest import Chat

pytestmark = pytest.mark.timeout(300)


def drawing(space: str, steps: int) -> ImagineJob:
    how = {"prompt": "a dog", "model_prompt": "a dog", "seed": 1, "count": 4, "steps": steps}
    return ImagineJob(space=space, owner="you", **how)


@pytest.mark.parametrize("looks", [True, False])
async def test_who_looks_sees_what_is_drawn(chat: Chat, app: Darkroom, looks: bool) -> None:
    job, seen = drawing(f"{chat.space}-{new_id()}", 100 if looks else 20), list[bytes]()

    async def look() -> None:
        while True:
            if looks:
                await want_previews(app.redis, job.id)
            if preview := await read_preview(app.redis, job.id):
                seen.append(preview)
            await asyncio.sleep(0.1)

    await app.dispatch.accept(job)
    looking = asyncio.create_task(look())
    replies = [reply async for reply in app.watch(job.id)]
    looking.cancel()
    assert replies[-1].state == "done" and len(replies[-1].pictures) == 4
    assert bool(seen) == looks and any(reply.preview for reply in replies) == looks
    for preview in seen:
        with Image.open(io.BytesIO(preview)) as image:
            assert image.format == "JPEG" and max(image.size) <= 256
    assert await read_preview(app.redis, job.id) is None
    names = await app.store.names(f"jobs/{job.id}/")
    assert len([name for name in names if "attempt" in name]) == 5
