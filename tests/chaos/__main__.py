"""`python -m tests.chaos [--faults N] [--seed N] [--store folder|s3|both] …`: mistreat a deployment; check it."""

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from random import SystemRandom
from typing import get_args

from tests.chaos.catalogue import FAULTS, possible
from tests.chaos.run import broken, log, run
from tests.chaos.scene import Kind


def main() -> None:
    """Run, print a report for each store, exit 1 if a promise was broken."""
    given = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(relativeCreated)8d %(name)s %(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    log.info("seed %d", given.seed)
    stores: list[Kind] = [*get_args(Kind)] if given.store == "both" else [given.store]
    reports = []
    for number, store in enumerate(stores):
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        faults = given.faults // len(stores) + (number < given.faults % len(stores))
        kinds = possible(store, given.only)
        how = (faults, given.seconds, given.seed, folder, given.workers, kinds, given.steps, given.every, store)
        reports.append(asyncio.run(run(*how)))
        print(json.dumps(reports[-1], indent=1))  # noqa: T201
        if given.keep:
            log.info("everything is in %s", folder)
        else:
            shutil.rmtree(folder)
    sys.exit(any(map(broken, reports)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="how many; half of them each with both stores")
    parser.add_argument("--seconds", type=float, default=3600, help="stop causing faults after so long")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000))
    parser.add_argument("--store", choices=(*get_args(Kind), "both"), default="both", help="where objects are kept")
    parser.add_argument("--only", nargs="+", choices=[f.__name__ for f in FAULTS], help="kinds of faults to cause")
    parser.add_argument(
        "--every", type=float, default=2.5, help="seconds between two faults, and requests, on the average"
    )
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=2, default=(50, 300), help="of a training at least and at most")
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and queue")
    return parser


if __name__ == "__main__":
    main()
