"""The whole path at the terminal: `darkroom up`, real commands beside it, a real worker with the micro model."""

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.support.terminal import HERE, darkroom, darkrooms, environment, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # quick ones of commands: bot/cli
SAMPLES = str(HERE / "bot" / "samples")
WITHIN_S = 240


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in."""
    return tmp_path_factory.mktemp("journey")


@pytest.fixture(scope="module")
def env(here: Path, micro_model: Path) -> dict[str, str]:
    """The environment of every command of this module."""
    settings = {"DARKROOM_BASE_MODEL": str(micro_model), "DARKROOM_PORT": "0", "OMP_NUM_THREADS": "1"}
    return environment(here / "home", **settings)


@pytest.fixture(scope="module")
def up(here: Path, env: dict[str, str]) -> Iterator[psutil.Process]:
    """`darkroom up`, with everything that it started running."""
    process = start("up", env=env, cwd=here)
    try:
        assert process.stdout
        said = process.stdout.readline()
        assert re.fullmatch(r"Darkroom is up: http://127\.0\.0\.1:\d+\n", said), process.communicate(timeout=10)
        with urllib.request.urlopen(said.split()[-1]) as page:
            assert page.status == 200
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def all_gone(processes: list[psutil.Process]) -> bool:
    """Wait for the end of processes; tell whether none is left."""
    return psutil.wait_procs(processes, timeout=WITHIN_S)[1] == []


def test_train_then_imagine(up: psutil.Process, here: Path, env: dict[str, str]) -> None:
    photos = ["train", SAMPLES, "--name", "rex", "--class", "dog", "--steps", "3", "--json"]
    prompt = "a [rex] dog in Paris"
    drawing = ["imagine", prompt, "-n", "2", "--seed", "7", "--steps", "3", "--out", "pictures", "--json"]
    single = ["imagine", "a dog in Rome", "-n", "1", "--steps", "2", "--out", "one", "--json"]
    said = darkrooms([photos, drawing, ["subjects", "--json"], ["jobs", "--json"], photos, single], env, here)
    assert [s.code for s in said] == [0, 0, 0, 0, 2, 0]

    trained = said[0].result
    assert {"job", "state", "message", "seconds", "subject", "name", "steps", "loss_first", "loss_last"} == set(trained)
    assert (trained["state"], trained["name"], trained["steps"]) == ("done", "rex", 3)
    assert trained["loss_last"] > 0

    drawn = said[1].result
    assert (drawn["state"], drawn["seeds"], drawn["prompt"]) == ("done", [7, 8], prompt)
    assert drawn["subject"] == trained["subject"]
    names = [f"{drawn['job']}-{end}.png" for end in ("7", "8", "grid")]
    assert [drawn["images"], drawn["grid"]] == [
        [str(here / "pictures" / n) for n in names[:2]],
        str(here / "pictures" / names[2]),
    ]
    for path in (*drawn["images"], drawn["grid"]):
        with Image.open(path) as picture:
            assert picture.format == "PNG"

    assert [s["state"] for s in said[2].result["subjects"]] == ["ready"]
    assert [j["state"] for j in said[3].result["jobs"]] == ["done", "done"]
    assert "already a subject called rex" in said[4].result["message"]
    assert said[5].result["grid"] is None  # which would be the same picture once more
    assert [str(path) for path in (here / "one").iterdir()] == said[5].result["images"]


def test_pictures_are_saved_where_and_as_the_person_works(up: psutil.Process, here: Path, env: dict[str, str]) -> None:
    """Also by the command server, which has a folder and a umask of its own."""
    folder = here / "elsewhere"
    folder.mkdir()
    before = os.umask(0o077)
    try:
        said = darkroom("imagine", "a dog", "-n", "1", "--steps", "2", "--out", "new", "--json", env=env, cwd=folder)
    finally:
        os.umask(before)
    assert said.code == 0, said.err
    assert [str(path) for path in (folder / "new").iterdir()] == said.result["images"]
    assert (folder / "new").stat().st_mode & 0o777 == 0o700


def test_ctrl_c_stops_a_running_training_and_leaves_nothing(
    up: psutil.Process, here: Path, env: dict[str, str]
) -> None:
    process = start("train", SAMPLES, "--name", "long", "--class", "dog", "--steps", "4000", env=env, cwd=here)
    assert process.stderr
    for line in process.stderr:
        if line.startswith("Learning"):
            break
    process.send_signal(signal.SIGINT)
    began_s = time.monotonic()
    out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[0] == "Stopping."
    assert "Cancelled" in err
    assert time.monotonic() - began_s < 60  # a second or two on a quiet machine
    (known,) = darkrooms([["subjects", "--json"]], env, here)
    assert "long" not in [s["name"] for s in known.result["subjects"]]


def test_doctor_finds_everything_well(up: psutil.Process, here: Path, env: dict[str, str]) -> None:
    said = darkroom("doctor", "--json", env=env, cwd=here)
    checks = {check["name"]: check for check in said.result["checks"]}
    assert (said.code, said.result["state"]) == (0, "done"), checks
    assert list(checks) == ["Python", "settings", "disk", "store", "queue", "workers", "trainer", "judge"]
    assert checks["workers"]["says"] == "1 for train, 1 for imagine, 1 for ask"


def test_demo_once_plays_the_journey(up: psutil.Process, here: Path, env: dict[str, str]) -> None:
    said = darkroom("demo", "--once", "--json", env=env, cwd=here)
    assert said.code == 0, said.err
    assert (said.result["state"], said.result["sheet"]) == ("done", str(here / "darkroom-demo" / "contact-sheet.png"))
    with Image.open(said.result["sheet"]) as sheet:
        assert sheet.width > 800 and sheet.height > 800
    assert len(list((here / "darkroom-demo").iterdir())) == 17  # four rows of four, and the sheet
    (known,) = darkrooms([["subjects", "--json"]], env, here)
    assert [s["name"] for s in known.result["subjects"]] == ["rex"]  # the one of before, not the demo's


def test_up_stops_with_all_that_it_started(up: psutil.Process, here: Path, env: dict[str, str]) -> None:
    family = up.children(recursive=True)
    assert len(family) >= 3  # queue, worker, engine
    up.terminate()
    assert all_gone([up, *family])
    left = {p.name for p in (here / "home" / "queue").iterdir()}
    assert left == {"appendonlydir", "owner.lock", "users.lock", "valkey.log"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_on_its_own_takes_its_family_along(here: Path, env: dict[str, str], number: signal.Signals) -> None:
    process = start("imagine", "a dog", "-n", "16", "--steps", "150", "--json", env=env, cwd=here)
    family: list[psutil.Process] = []
    while len(family) < 3:  # queue, worker, engine
        family = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.1)
    process.send_signal(number)
    out, _ = process.communicate(timeout=WITHIN_S)
    assert all_gone(family)
    assert number == signal.SIGKILL or json.loads(out)["state"] == "cancelled"
