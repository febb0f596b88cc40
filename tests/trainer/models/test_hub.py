"""Base models from the hub: a real server that speaks its language, the hub's own library, a sentence where it ends."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hub import Hub, hub_server
from tests.support.micro_models import write_micro_clip, write_micro_dino

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub_server() as hub:
        yield hub


@pytest.fixture(scope="module")
def hub(server: Hub, micro_sdxl: Path, micro_sd2: Path, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """A hub with whole models, and some that are not."""

    def altered(name: str, change: Callable[[Path], object], of: Path = micro_sd2) -> Path:
        folder = tmp_path_factory.mktemp(name) / name
        shutil.copytree(of, folder)
        change(folder)
        return folder

    def clutter(folder: Path) -> None:
        for name in ("README.md", "model.ckpt", "unet/diffusion_pytorch_model.bin", "unet/flax_model.msgpack"):
            (folder / name).write_text("not wanted")
        (folder / "safety_checker").mkdir()
        (folder / "safety_checker" / "model.safetensors").write_text("not wanted")

    def halve(folder: Path) -> None:
        for path in folder.glob("*/*.safetensors"):
            shutil.copy(path, path.with_name(f"{path.stem}.fp16.safetensors"))

    def pickle(folder: Path) -> None:
        path = folder / "unet" / "diffusion_pytorch_model.safetensors"
        path.rename(path.with_suffix(".bin"))

    def flux(folder: Path) -> None:
        (folder / "unet").rename(folder / "transformer")

    server.add("org/sdxl", altered("sdxl", clutter, micro_sdxl))
    server.add("org/sdxl", altered("older", lambda _: None), "v1.0")
    server.add("org/half", altered("half", halve))
    server.add("org/pickled", altered("pickled", pickle))
    server.add("org/flux", altered("flux", flux))
    server.add("org/inpainting", altered("inpainting", lambda f: alter(f / "unet/config.json", in_channels=9)))
    server.add("org/gated", altered("gated", lambda _: None), gated_for="hf_allowed")
    return server


def alter(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def metric_models(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same hub with models that measure, and one that is a pickle alone."""
    folder = tmp_path_factory.mktemp("metrics")
    server.add("org/clip", write_micro_clip(folder / "clip"))
    server.add("org/dino", write_micro_dino(folder / "dino"))
    pickled = write_micro_dino(folder / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    server.add("org/pickled-dino", pickled)


@pytest.fixture(scope="module")
def ask(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Ask for models, in a process of its own; each call goes on with what the one before downloaded."""
    home = tmp_path_factory.mktemp("home")

    def asked(*questions: dict[str, Any], **environment: str) -> list[dict[str, Any]]:
        variables = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), **environment}
        command = [sys.executable, "-m", "tests.support.find_models", str(home / "models")]
        done = subprocess.run(
            command, input=json.dumps(questions), env=variables, stdout=subprocess.PIPE, text=True, check=True
        )
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    return asked


@pytest.fixture(scope="module")
def answers(ask: Ask) -> dict[str, dict[str, Any]]:
    """What somebody without a token is told, by model."""
    models = "sdxl", "sdxl@v1.0", "sdxl@v9", "half", "pickled", "flux", "inpainting", "gated", "nothing"
    questions = [{"model": f"org/{name}", "half": name == "half"} for name in models]
    looked = {"model": "org/half", "weights": False}
    return dict(zip(["looked", *models], ask(looked, *questions), strict=True))


def test_what_is_needed_is_downloaded_and_nothing_else(answers: dict[str, dict[str, Any]], hub: Hub) -> None:
    found = answers["sdxl"]
    assert found["revision"] == hub.repos["org/sdxl"].names["main"]
    assert {name.partition("/")[0] for name in found["there"]} == {
        *("darkroom.json", "model_index.json", "scheduler", "unet", "vae"),
        *("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    }
    assert not [name for name in found["there"] if not name.endswith((".json", ".txt", ".safetensors"))]


def test_a_revision_is_another_model(answers: dict[str, dict[str, Any]], hub: Hub) -> None:
    assert answers["sdxl@v1.0"]["revision"] == hub.repos["org/sdxl"].names["v1.0"]
    assert "text_encoder_2/config.json" not in answers["sdxl@v1.0"]["there"]


def test_half_precision_is_downloaded_alone(answers: dict[str, dict[str, Any]]) -> None:
    weights = [name for name in answers["half"]["there"] if name.endswith(".safetensors")]
    assert len(weights) == 3 and all(".fp16." in name for name in weights)


def test_what_is_here_is_taken_before_the_other_precision_is_downloaded(
    answers: dict[str, dict[str, Any]], ask: Ask
) -> None:
    whole = {"model": "org/half", "half": False}
    found, looked = ask(whole, {**whole, "weights": False}, HF_ENDPOINT="http://127.0.0.1:9")
    assert found == answers["half"] and looked == found


def test_looking_downloads_no_weights(answers: dict[str, dict[str, Any]]) -> None:
    assert not [name for name in answers["looked"]["there"] if name.endswith(".safetensors")]
    assert answers["looked"]["missing"] > 100_000


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("nothing", "There is no base model org/nothing: no such folder or file here, and the hub at"),
        ("sdxl@v9", "The base model org/sdxl has no revision v9"),
        ("gated", "accept the licence on its page"),
        ("pickled", "has its unet only as pickles (unet/diffusion_pytorch_model.bin), which may run code"),
        ("flux", "has no unet. It is another kind of model, built on a transformer."),
        ("inpainting", "its UNet takes 9 channels and not 4"),
    ],
)
def test_what_cannot_be_had_is_told_in_a_sentence(
    answers: dict[str, dict[str, Any]], model: str, sentence: str
) -> None:
    assert sentence in answers[model]["error"]


def test_nothing_of_a_refused_model_is_downloaded(answers: dict[str, dict[str, Any]], hub: Hub) -> None:
    assert not [path for path in hub.fetched if path.endswith((".bin", ".ckpt")) or path.startswith("transformer")]


@pytest.mark.slow
def test_a_model_stays_at_its_commit_whoever_moves_it_and_without_a_hub(
    answers: dict[str, dict[str, Any]], ask: Ask, hub: Hub, micro_sd1: Path
) -> None:
    before, asked = hub.repos["org/sdxl"].names["main"], {"model": "org/sdxl"}
    hub.add("org/sdxl", micro_sd1)
    (moved,) = ask(asked)
    (alone, other) = ask(asked, {"model": "org/other"}, HF_ENDPOINT="http://127.0.0.1:9")
    assert moved == alone == answers["sdxl"] and moved["revision"] == before
    assert "is neither a folder nor a file here, and cannot be had from the hub at http://127.0.0.1:9" in other["error"]


@pytest.mark.slow
def test_a_token_opens_what_its_account_may_have(ask: Ask) -> None:
    (refused,) = ask({"model": "org/gated"}, HF_TOKEN="hf_other")
    assert "the account of HF_TOKEN has no permission" in refused["error"] and "hf_other" not in refused["error"]
    (found,) = ask({"model": "org/gated"}, HF_TOKEN="hf_allowed")
    assert "unet/diffusion_pytorch_model.safetensors" in found["there"]


@pytest.mark.slow
@pytest.mark.usefixtures("metric_models")
def test_metric_models_come_from_the_hub_and_pickles_are_refused_in_a_sentence(ask: Ask, hub: Hub) -> None:
    questions = [("clip", "org/clip"), ("dino", "org/dino"), ("dino", "org/pickled-dino")]
    clip, dino, pickled = ask(*({"meter": meter, "model": model} for meter, model in questions))
    assert (clip, dino) == ({"sees": 16}, {"sees": 24})
    says = (
        "org/pickled-dino cannot be read as a DINO model: it has its weights only as pickles (pytorch_model.bin), which"
    )
    assert pickled["error"].startswith(says)
    assert "pytorch_model.bin" not in hub.fetched
