"""As much chaos as half a minute takes; `make chaos` has the rest."""

import json
from pathlib import Path

import pytest

from tests.chaos.__main__ import broken, run

pytestmark = pytest.mark.timeout(600)
FAULTS_S, EVERY_S = 35, 1.5
SEED = 3


async def test_no_job_is_lost_doubled_or_mixed(tmp_path: Path) -> None:
    report = await run(
        faults=1000, seconds=FAULTS_S, seed=SEED, folder=tmp_path, workers=2, steps=(20, 80), every_s=EVERY_S
    )
    assert not broken(report), json.dumps(report, indent=1)
    assert report["jobs seen accepted"]
