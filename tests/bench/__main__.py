"""Time what a person waits for, with Toyworld, on this machine: `make bench`.

One deployment as `make demo` starts it (embedded queue, folder store, one worker), asked through the same
commands: learning a subject of a class that is new and of one that is known, and four pictures. Last, a subject is
asked for while the worker is only started, as by the terminal's first command.
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
from typing import NamedTuple

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from bot.photos.uploads import Upload
from research.toyworld.scenes import character
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.conftest import start_worker, stop_worker
from tests.servers.backing import APPEND_ONLY, valkey
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


class Took(NamedTuple):
    """How long people waited, from the command on."""

    whole_s: float
    first_step_s: float  # of a training, until it learns


async def timed(app: Darkroom, command: str, uploads: tuple[Upload, ...] = (), **arguments: str) -> Took:
    """Time a command until its last reply, which must be a success."""
    given = {name.rstrip("_"): value for name, value in arguments.items()}
    asked_s, began_s, last = time.time(), time.monotonic(), Reply(text="nothing was said", state="failed")
    async for reply in app.answer_to_end(
        Request(space="bench", user="bench", command=command, arguments=given, uploads=uploads, confirmed=True)
    ):
        last = reply
    whole_s = time.monotonic() - began_s
    assert last.state == "done" and last.job, last.text
    job, outcome = await app.dispatch.job(last.job), await app.dispatch.outcome(last.job)
    assert job and outcome
    return Took(whole_s, job.accepted_s - asked_s + (outcome.first_step_s or 0.0))


async def measure(redis_url: str) -> dict[str, float]:
    """Time trainings and pictures through a deployment, whose worker is started anew for the last training."""
    app, first = await Darkroom.open(load_settings(BotSettings), redis_url), NOUNS[0]
    worker = await asyncio.to_thread(start_worker, {})
    try:
        cold, warm = [], []
        for noun in NOUNS:
            cold.append(await timed(app, "dreambooth train", photos(noun, 1), name=f"{noun}-1", class_=noun))
            warm.append(await timed(app, "dreambooth train", photos(noun, 2), name=f"{noun}-2", class_=noun))
        prompt = f"a [{first}-1] {first} in Paris"
        await timed(app, "imagine", prompt=prompt)  # loads the subject's weights
        drawn = [await timed(app, "imagine", prompt=prompt) for _ in range(PICTURE_RUNS)]
    finally:
        stop_worker(worker)
    started = asyncio.create_task(asyncio.to_thread(start_worker, {}))
    try:
        anew = await timed(app, "dreambooth train", photos(first, 3), name=f"{first}-3", class_=first)
    finally:
        stop_worker(await started)
    await app.close()
    return {
        "train, class images new (s)": round(statistics.median(took.whole_s for took in cold), 1),
        "train, class images known (s)": round(statistics.median(took.whole_s for took in warm), 1),
        "command to first step, class images new (s)": round(statistics.median(t.first_step_s for t in cold), 1),
        "command to first step, class images known (s)": round(statistics.median(t.first_step_s for t in warm), 1),
        "command to first step, the worker starting (s)": round(anew.first_step_s, 1),
        "four pictures, warm worker (s)": round(statistics.median(took.whole_s for took in drawn), 2),
    }


def main() -> None:
    """Start a queue, measure, print JSON."""
    with tempfile.TemporaryDirectory() as folder, valkey(config=APPEND_ONLY) as url:
        os.environ |= {"DARKROOM_HOME": str(Path(folder) / "home"), "REDIS_URL": url}
        print(json.dumps(asyncio.run(measure(url)), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
