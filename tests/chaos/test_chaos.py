"""As much chaos as a third of a minute takes; `make chaos` has the rest."""

import json
from pathlib import Path

import pytest

from tests.chaos.catalogue import possible
from tests.chaos.run import broken, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FAULTS_S, EVERY_S = 20, 1.5
SEED = 3
LONG = {"broken_model", "freeze_engine", "kill_bot"}  # they have to start a process, or wait for a watchdog


async def test_no_job_is_lost_doubled_or_mixed(tmp_path: Path) -> None:
    kinds = [fault for fault in possible("s3") if fault.__name__ not in LONG]
    report = await run(1000, FAULTS_S, SEED, tmp_path, workers=2, kinds=kinds, steps=(20, 80), every_s=EVERY_S)
    assert not broken(report), json.dumps(report, indent=1)
    assert report["jobs seen accepted"]
