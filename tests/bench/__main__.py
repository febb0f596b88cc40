"""Time what a person waits for, with Toyworld, on this machine: `make bench`.

One deployment as `make demo` starts it (embedded queue, folder store, one worker), asked through the same
commands: learning a subject of a class that is new and of one that is known, and four pictures.
"""

import asyncio
import io
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from random import Random

from bot.app import Darkroom
from bot.messages import Reply, Request, Upload
from storage.settings import load_settings
from tests.conftest import start_worker, stop_worker
from tests.servers import valkey
from trainer.toyworld.scenes import character
from trainer.toyworld.words import PLACES

NOUNS = ("dog", "robot", "teapot")
PICTURE_RUNS = 5


def photos(noun: str, seed: int) -> tuple[Upload, ...]:
    """Four drawn photos of a character."""
    out = []
    for k in range(4):
        buffer = io.BytesIO()
        character(seed, noun).photo(Random(k), PLACES[k], size_px=128).save(buffer, "PNG")
        out.append(Upload(name=f"{k}.png", data=buffer.getvalue()))
    return tuple(out)


async def timed(app: Darkroom, command: str, uploads: tuple[Upload, ...] = (), **arguments: str) -> float:
    """Seconds from the command to its last reply, which must be a success."""
    given = {name.rstrip("_"): value for name, value in arguments.items()}
    began_s, last = time.monotonic(), Reply(text="nothing was said", state="failed")
    async for reply in app.answer(
        Request(space="bench", user="bench", command=command, arguments=given, uploads=uploads)
    ):
        last = reply
    assert last.state == "done", last.text
    return time.monotonic() - began_s


async def measure(redis_url: str) -> dict[str, float]:
    """Time trainings and pictures through the running deployment."""
    app = await Darkroom.open(load_settings(), redis_url)
    cold, warm = [], []
    for noun in NOUNS:
        cold.append(await timed(app, "dreambooth train", photos(noun, 1), name=f"{noun}-1", class_=noun))
        warm.append(await timed(app, "dreambooth train", photos(noun, 2), name=f"{noun}-2", class_=noun))
    prompt = f"a [{NOUNS[0]}-1] {NOUNS[0]} in Paris"
    await timed(app, "imagine", prompt=prompt)  # loads the subject's weights
    drawn = [await timed(app, "imagine", prompt=prompt) for _ in range(PICTURE_RUNS)]
    await app.close()
    return {
        "train, class images new (s)": round(statistics.median(cold), 1),
        "train, class images known (s)": round(statistics.median(warm), 1),
        "four pictures, warm worker (s)": round(statistics.median(drawn), 2),
    }


def main() -> None:
    """Start a deployment, measure, print JSON."""
    with tempfile.TemporaryDirectory() as folder, valkey() as url:
        os.environ |= {"DARKROOM_HOME": str(Path(folder) / "home"), "REDIS_URL": url}
        worker = start_worker({})
        try:
            print(json.dumps(asyncio.run(measure(url)), indent=1))  # noqa: T201
        finally:
            stop_worker(worker)


if __name__ == "__main__":
    main()
