"""The bench beside diffusers' scripts: it times what it is pointed at, here a stand-in that does as good as nothing."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from tests.bench.peers import FIGURES, RATES_OF_OURS, WHO, main

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


def bench(folder: Path, photos: list[Path], **more: object) -> Result:
    """Run it with as little as can be, but for what it times in this process; models and runs stay in the folder."""
    options = {"scripts": folder, "photos": photos[0].parent, "size": "tiny", "methods": "lora", "rounds": 1}
    kept = {"models": folder / "models", "out": folder / "runs.jsonl"}
    less = {"steps": 6, "class-images": 1, "set": "batch=1"}
    given = [f"--{name}={value}" for name, value in {**options, **kept, **less, **more}.items()]
    command = Typer()
    command.command()(main)
    return CliRunner().invoke(command, given)


@pytest.mark.exhaustive
@pytest.mark.timeout(360)
def test_both_are_timed_and_a_table_and_one_json_object_are_printed(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "train_dreambooth_lora.py").write_text(SCRIPT)
    before = {"size": "tiny", "method": "lora", "who": "ours", "steps": 6, "class_images": 1, "set": {"batch": 1}}
    figures = dict.fromkeys((*FIGURES, *RATES_OF_OURS), 1000.0)
    other = {**before, "steps": 60}
    (tmp_path / "runs.jsonl").write_text(f"{json.dumps(before | figures)}\n{json.dumps(other | figures)}\n")
    done = bench(tmp_path, photos)
    assert done.exit_code == 0, done.output
    assert "lora step_s" in done.stdout and "lora TFLOP/s" in done.stdout and "tiny, lora, peer: " in done.stdout
    found = json.loads(done.stdout.splitlines()[-1])["tiny"]["lora"]
    assert 0.02 <= found["peer"]["step_s"] < 1
    assert found["peer"]["kept_bytes"] == 1000
    _, _, peer, ours = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert (peer["who"], ours["who"]) == ("peer", "ours")
    for figure in (*FIGURES, *RATES_OF_OURS):
        assert ours[figure] > 0 and found["ours"][figure] == (1000 + ours[figure]) / 2


def test_what_fails_is_reported_and_the_rest_goes_on_until_time_is_up(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "train_dreambooth_lora.py").write_text("import time\ntime.sleep(60)")
    model = tmp_path / "models" / "tiny"
    (model / "vae").mkdir(parents=True)
    for name in ("model_index.json", "vae/config.json"):
        (model / name).write_text('{"sample_size": 8}')
    done = bench(tmp_path, photos, minutes=0.01)
    assert done.exit_code == 1
    assert [f"tiny, lora, {who} failed: the time was up" in done.stderr for who in WHO] == [True, True]
    assert (model / "model_index.json").read_text() == '{"sample_size": 8}'  # one that is there is taken
    assert not (tmp_path / "runs.jsonl").exists()
