"""`python -m trainer [--queues train,imagine] [--check]`: run a worker, or say whether one could run."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from typing import get_args

from storage.contract.jobs import Method
from storage.errors import DarkroomError
from storage.kinds import KINDS, queues_of_gpus
from storage.logs import log_to
from storage.objects.open import open_store
from storage.queue import broker
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from storage.text import listed, visible
from trainer import threads
from trainer.fast_import import fast_import

log = logging.getLogger(__name__)

LAST_S = 18.0  # from SIGTERM to the end, whatever happens: most who send it send SIGKILL later


def main() -> None:
    """Parse the command line and run."""
    threads.set_up()
    parser = argparse.ArgumentParser(prog="python -m trainer", description="A Darkroom worker.")
    parser.add_argument("--queues", default=",".join(queues_of_gpus()), help="what to work on, with commas between")
    parser.add_argument("--check", action="store_true", help="print one JSON object about this machine and exit")
    parser.add_argument("--recipe", action="store_true", help="print the recipes of the base model as JSON and exit")
    parser.add_argument("--measure", action="store_true", help="measure pictures: lines of JSON in, and out")
    given = parser.parse_args()
    log_to(None, logging.INFO, "%(asctime)s worker %(levelname)s %(message)s")
    for library in ("arq", "trafilatura", "pypdf", "httpx", "openai"):
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        settings = load_settings(TrainerSettings)
        if given.check:
            with fast_import():  # torch: not for --help
                from trainer.doctor import report

            print(report(settings).model_dump_json())  # noqa: T201
            return
        if given.recipe:
            print(json.dumps(recipes(settings)))  # noqa: T201
            return
        if given.measure:
            with fast_import():
                from trainer.metrics.server import serve

            out = sys.stdout
            with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints must not end up between our lines
                serve(sys.stdin, out)
            return
        queues = given.queues.split(",")
        if not set(queues) <= set(KINDS):
            parser.error(f"--queues takes {listed([*KINDS])}, not {given.queues}")
        asyncio.run(work(settings, queues))
    except DarkroomError as error:
        sys.exit(visible(str(error)))


def recipes(settings: TrainerSettings) -> dict[str, object]:
    """The recipes that suit the base model, by method, and which method this machine takes, all with where it is from.

    Raises SetupError.
    """
    with fast_import():  # torch: not for --help
        from trainer.doctor import base_model_here
    from trainer.models.default_recipe import defaults_for, recipe_for

    source, method, why = base_model_here(settings)
    answer = {
        each: {
            "recipe": recipe_for(source.folder, method=each).model_dump(),
            "origins": defaults_for(source.folder, each).origins,
        }
        for each in get_args(Method)
    }
    return {"method": method, "why": why, "recipes": answer}


async def work(settings: TrainerSettings, queues: list[str]) -> None:
    """Work until SIGINT or SIGTERM, which lets what runs come to a good end; a second one ends it at once."""
    from trainer.kinds import handlers_of
    from trainer.worker.worker import run_worker

    store = await open_store(settings)
    redis = await broker.connect_patiently(settings.redis_url or "redis://127.0.0.1:6379", settings)
    job = asyncio.create_task(run_worker(settings, store, redis, queues, handlers_of(queues)))

    def stop(number: int) -> None:
        if job.cancelling():
            os._exit(128 + number)  # the engine goes along; another worker takes over when the lease is over
        job.cancel()
        # Redis or the store may be away: what is not handed back by then is taken from us when the lease is over
        late = threading.Timer(LAST_S, end_late)
        late.daemon = True
        late.start()

    def end_late() -> None:
        log.warning("not all could be handed back in time")
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    with contextlib.suppress(asyncio.CancelledError):
        await job
    await redis.aclose()
    logging.shutdown()
    os._exit(0)  # a store that does not answer may hold threads, and Python would wait for them


if __name__ == "__main__":
    main()
