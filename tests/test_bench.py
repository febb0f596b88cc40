"""The bench beside diffusers' scripts: it times what it is pointed at, here a stand-in that does as good as nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.peers import FIGURES, RATES_OF_OURS

SCRIPT = """
import argparse
import time
from pathlib import Path
from accelerate import Accelerator

parser = argparse.ArgumentParser()
parser.add_argument("--max_train_steps", type=int)
parser.add_argument("--output_dir", type=Path)
check_min_version("a version that nobody has")
given, _ = parser.parse_known_args()
accelerator = Accelerator()
for step in range(given.max_train_steps):
    time.sleep(0.02)
    accelerator.log({"loss": 1.0}, step=step)
given.output_dir.mkdir(exist_ok=True)
(given.output_dir / "weights").write_bytes(bytes(1000))
"""


@pytest.mark.timeout(120)
def test_both_are_timed_and_a_table_and_one_json_object_are_printed(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "train_dreambooth_lora.py").write_text(SCRIPT)
    options = {"scripts": tmp_path, "photos": photos[0].parent, "size": "tiny", "methods": "lora"}
    less = {"steps": 6, "class-images": 1, "rounds": 1, "set": "batch=1"}
    given = [f"--{name}={value}" for name, value in {**options, **less}.items()]
    command = [sys.executable, "-m", "tests.bench.peers", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lora step_s" in done.stdout
    found = json.loads(done.stdout.splitlines()[-1])["tiny"]["lora"]
    assert 0.02 <= found["peer"]["step_s"] < 1
    assert found["peer"]["kept_bytes"] == 1000
    assert all(found["ours"][figure] > 0 for figure in (*FIGURES, *RATES_OF_OURS))
