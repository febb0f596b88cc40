"""The terminal: what it says to bad input, that nothing is left behind, and how it ends."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from redis import Redis

from bot.arguments.arguments import ImagineArguments, TrainArguments
from bot.arguments.forms import fields
from bot.cli.commands import app
from storage.contract.outcomes import outcome_key
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import SetupError
from storage.kinds import KINDS
from storage.objects.folder import FolderStore
from storage.queue.broker import queue_name
from storage.queue.worker_registry import worker_key, workers_key
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.servers.backing import valkey
from tests.support.terminal import HERE, Said, darkrooms, environment, start

GOOD = ["train", "good.png", "--name", "rex", "--class", "dog", "--json"]
BAD_INPUT: dict[str, tuple[list[str], str]] = {
    "no photos": (["train", "--name", "rex", "--class", "dog"], "Add a few photos"),
    "40 photos": (
        ["train", *["good.png"] * 40, "--name", "rex", "--class", "dog"],
        "That is 40 photos; the limit is 20",
    ),
    "a text file called .jpg": (["train", "text.jpg", "--name", "rex", "--class", "dog"], "text.jpg is not a picture"),
    "a file that is not there": (["train", "none.jpg", "--name", "rex", "--class", "dog"], "There is no file none.jpg"),
    "an empty folder": (["train", "empty", "--name", "rex", "--class", "dog"], "The folder empty is empty"),
    "a folder with a text file": (["train", "texts", "--name", "rex", "--class", "dog"], "text.jpg is not a picture"),
    "a name with a slash": (["train", "good.png", "--name", "a/b", "--class", "dog"], "letters, digits, - and _ only"),
    "a name with an emoji": (["train", "good.png", "--name", "rex🐶", "--class", "dog"], "letters, digits, - and _"),
    "a name of 300": (
        ["train", "good.png", "--name", "x" * 300, "--class", "dog"],
        "at most 32 characters, this one has 300",
    ),
    "no name": (["train", "good.png", "--class", "dog"], "Please give a name"),
    "a name that exists": (
        ["train", "good.png", "--name", "TAKEN", "--class", "dog"],
        "already a subject called taken",
    ),
    "an empty class": (["train", "good.png", "--name", "rex", "--class", ""], "Say what kind of thing it is"),
    "a prompt of 10,000": (["imagine", "x" * 10_000], "at most 1000 characters, this one has 10,000"),
    "an empty prompt": (["imagine", ""], "what the picture should show"),
    "a prompt with only [V]": (["imagine", "[V]"], "Say more than [taken]"),
    "an unknown subject": (["imagine", "a [tekan] dog"], "Did you mean taken?"),
    "--count 0": (["imagine", "a dog", "--count", "0"], "Count must be at least 1, not 0"),
    "--count x": (["imagine", "a dog", "--count", "x"], "Count must be a whole number, not x"),
    "--steps 100000": (["imagine", "a dog", "--steps", "100000"], "Steps must be at most 150, not 100000"),
    "a seed of 2^70": (["imagine", "a dog", "--seed", str(2**70)], "Seed must be at most 4,294,967,295"),
    "an unknown quality": (["imagine", "a dog", "--quality", "best"], "Quality must be"),
    "an unknown scheduler": (["imagine", "a dog", "--scheduler", "magic"], "Scheduler must be"),
    "--out that is a file": (["imagine", "a dog", "--out", "text.jpg"], "is not a folder that can be written"),
    "an unknown option": (["imagine", "a dog", "--colour", "red"], "No such option: --colour"),
    "an option without value": (["imagine", "--json", "a dog", "--count"], "requires an argument"),
    "an unknown command": (["imagien", "a dog"], "No such command"),
    "an unknown job": (["cancel", "0123456789"], "There is no job 0123456789"),
    "a job that is none": (["cancel", "../../etc"], "is not a job"),
    "an unknown name": (["forget", "tekan"], "Did you mean taken?"),
}
SET_UP: dict[str, tuple[list[str], str]] = {
    "a store that cannot be written": (
        ["DARKROOM_STORE=/dev/null/store", *GOOD],
        "The store /dev/null/store cannot be used.",
    ),
    "Redis gone": (
        ["REDIS_URL=redis://:hush@127.0.0.1:1/0?password=hush", *GOOD],
        "There is no Redis at redis://127.0.0.1:1/0: ",
    ),
    "a setting that is none": (["DARKROOM_PORT=http", *GOOD], "DARKROOM_PORT is 'http'"),
}
FINE: dict[str, list[str]] = {
    "subjects": ["subjects"],
    "show": ["show", "taken"],
    "jobs": ["jobs"],
    "status": ["status"],
    "settings": ["REDIS_URL=redis://me:hush@127.0.0.1:1/0?password=hush", "settings"],
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """What every command of the tables above said, run one after another on one store, with one subject in it."""
    folder = tmp_path_factory.mktemp("cli")
    Image.effect_noise((300, 300), 80).save(folder / "good.png")
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "text.jpg").write_text("no picture")
    taken = Subject(space="local", owner="you", name="taken", noun="dog", base_model="toyworld", state="ready")
    asyncio.run(Subjects(FolderStore(folder / "home" / "store")).add(taken))
    tables = {**{k: v[0] for k, v in (BAD_INPUT | SET_UP).items()}, **FINE}
    commands = [words if "--json" in words else [*words, "--json"] for words in tables.values()]
    all_said = darkrooms([["jobs", "--json"], *commands], environment(folder / "home"), folder)
    return dict(zip(["nothing yet", *tables], all_said, strict=True))


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_its_sentence_and_leaves_nothing(case: str, said: dict[str, Said]) -> None:
    result = said[case].result
    assert BAD_INPUT[case][1] in result["message"]
    assert (result["job"], result["state"], said[case].code) == (None, "failed", 2)
    assert result["seconds"] >= 0
    assert said[case].left == said["nothing yet"].left
    assert "Traceback" not in said[case].err


@pytest.mark.parametrize("case", SET_UP)
def test_a_broken_set_up_is_said_in_a_sentence(case: str, said: dict[str, Said]) -> None:
    result = said[case].result
    assert SET_UP[case][1] in result["message"]
    assert (result["job"], result["state"], said[case].code) == (None, "failed", 1)
    assert said[case].left == said["nothing yet"].left
    assert "hush" not in said[case].out + said[case].err


@pytest.mark.parametrize("case", FINE)
def test_lists_are_one_object_on_the_last_line(case: str, said: dict[str, Said]) -> None:
    result = said[case].result
    assert (result["job"], result["state"], said[case].code) == (None, "done", 0)
    assert {"message", "seconds"} <= result.keys()


def test_lists_carry_what_they_list(said: dict[str, Said]) -> None:
    (row,) = said["subjects"].result["subjects"]
    assert (row["name"], row["class"], row["state"]) == ("taken", "dog", "ready")
    assert said["show"].result["facts"]["class"] == "dog"
    assert said["jobs"].result["jobs"] == []


def test_the_status_says_that_nobody_works(said: dict[str, Said]) -> None:
    status = json.loads(said["status"].out.splitlines()[-1])
    assert status["message"] == "0 jobs running, 0 waiting. No worker is running."
    assert (status["running"], status["waiting"], status["workers"]) == ([], [], [])
    assert set(status["serving"].values()) == {0}


def test_settings_are_told_with_meaning_and_without_secrets(said: dict[str, Said]) -> None:
    rows = {row["name"]: row for row in said["settings"].result["settings"]}
    assert rows["REDIS_URL"]["value"] == "redis://***@127.0.0.1:1/0"
    assert all(row["meaning"] for row in rows.values())
    assert "hush" not in said["settings"].out


def test_every_argument_is_an_option() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, arguments in {"train": TrainArguments, "imagine": ImagineArguments}.items():
        offered = {word for option in commands[name].params for word in option.opts}
        declared = {f"--{field.name}" for field in fields(arguments)} - {"--prompt"}
        assert declared <= offered
    assert "-n" in {word for option in commands["imagine"].params for word in option.opts}


def test_help_needs_nothing_heavy() -> None:
    code = "import sys, bot.cli.main; print(*{'arq', 'aiohttp', 'boto3', 'numpy', 'PIL', 'redis'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, check=True)
    assert done.stdout.split() == []


def test_the_terminal_loads_only_what_it_needs() -> None:
    heavy = "{'aiohttp', 'boto3', 'discord', 'fastapi', 'numpy', 'slack_bolt', 'torch'}"
    code = f"import sys, bot.app, bot.connectors.terminal.connector; print(*{heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, check=True)
    assert done.stdout.split() == []


def test_a_worker_takes_only_queues_that_there_are(tmp_path: Path) -> None:
    (said,) = darkrooms([["worker", "--queues", "train,paint"]], environment(tmp_path), tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "--queues takes train, imagine and ask, with a comma between, not train,paint." in said.err


def test_a_port_in_use_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start("web", env=environment(tmp_path, DARKROOM_PORT=port), cwd=tmp_path)
        out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (1, "")
    assert err.strip().splitlines() == [
        f"Port {port} is in use by another program. Set DARKROOM_PORT to a free port, or to 0 for any."
    ]


def a_waiting_command(redis_url: str, tmp_path: Path) -> "subprocess.Popen[str]":
    """Start an imagine whose job waits for good: the queue says that workers live, but none does."""
    with Redis(unix_socket_path=redis_url.removeprefix("unix://")) as redis:
        for kind in KINDS:
            redis.set(worker_key("nobody", kind), b"")
            redis.zadd(workers_key(kind), {"nobody": 0})
    process = start("imagine", "a dog", "--json", env=environment(tmp_path, REDIS_URL=redis_url), cwd=tmp_path)
    assert process.stderr
    assert process.stderr.readline().strip() == "Waiting for a worker"
    return process


def test_ctrl_c_takes_the_job_back(tmp_path: Path) -> None:
    with valkey() as url:
        process = a_waiting_command(url, tmp_path)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
        with Redis(unix_socket_path=url.removeprefix("unix://")) as redis:
            assert redis.zcard(queue_name("imagine")) == 0
    result = json.loads(out)
    assert (process.returncode, result["state"], err.strip()) == (130, "cancelled", "Stopping.")
    assert (tmp_path / "store" / outcome_key(result["job"])).exists()


def test_redis_dying_under_a_command_is_said_in_a_sentence(tmp_path: Path) -> None:
    with valkey() as url:
        process = a_waiting_command(url, tmp_path)
    out, err = process.communicate(timeout=240)
    result = json.loads(out)
    assert (process.returncode, result["state"]) == (1, "failed")
    assert "Traceback" not in err
    assert "queue" in result["message"] and result["message"].endswith(".")


def test_a_secret_that_is_wrong_is_not_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    monkeypatch.setenv("DARKROOM_API_KEY", "hunter2")
    with pytest.raises(SetupError, match="DARKROOM_API_KEY is wrong: ") as error:
        load_settings(BotSettings)
    assert "hunter2" not in str(error.value)
