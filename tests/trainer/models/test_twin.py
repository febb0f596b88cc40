"""A base model and its few-step twin: subjects that are learned on the one are drawn by the other."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from storage.contract.subjects import Subject
from storage.errors import SetupError, UserError
from storage.kinds.imagine import ImagineJob
from storage.settings.trainer import TrainerSettings
from tests.support.converted_subjects import adapt
from tests.support.dit_peers import PEERS
from tests.support.engine_news import last_result
from tests.support.micro_models import write_micro_z_image
from trainer.diffusion.row_adapters import AdaptedDenoiser
from trainer.doctor import report
from trainer.dreambooth.weights import save_learned
from trainer.engine.engine import Engine
from trainer.kinds.imagine import quality_of
from trainer.models.base import BaseModel, load_base
from trainer.models.twin import load_twin
from trainer.protocol import ImagineTask


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A Z-Image, its Turbo with other weights in its transformer, and models that are no twins of it."""
    folder = tmp_path_factory.mktemp("pair")
    return {
        "base": write_micro_z_image(folder / "Z-Image"),
        "twin": write_micro_z_image(folder / "Z-Image-Turbo", seed=5),
        "klein": PEERS["klein"].write(folder / "klein"),
    }


@pytest.fixture(scope="module")
def base(folders: dict[str, Path]) -> BaseModel:
    return load_base(str(folders["base"]))


@pytest.fixture(scope="module")
def twin(folders: dict[str, Path], base: BaseModel) -> BaseModel:
    return load_twin(str(folders["twin"]), base, folders["base"].parent / "home")


def settings(base: Path, twin: str = "", **more: Any) -> TrainerSettings:
    pair = f"{base},{twin}" if twin else str(base)
    return TrainerSettings(_env_file=None, DARKROOM_BASE_MODEL=pair, DARKROOM_HOME=base.parent / "home", **more)


def test_a_pair_is_read_from_the_setting() -> None:
    pair = TrainerSettings(_env_file=None, DARKROOM_BASE_MODEL="krea/Krea-2-Raw, krea/Krea-2-Turbo")
    assert (pair.base_model, pair.twin_model) == ("krea/Krea-2-Raw", "krea/Krea-2-Turbo")
    alone = TrainerSettings(_env_file=None, DARKROOM_BASE_MODEL="toyworld")
    assert (alone.base_model, alone.twin_model) == ("toyworld", "")
    for wrong in ("a,b,c", "a,", ",b"):
        with pytest.raises(ValueError, match="a comma between them"):
            TrainerSettings(_env_file=None, DARKROOM_BASE_MODEL=wrong)


def test_a_twin_shares_all_but_the_network_that_predicts(base: BaseModel, twin: BaseModel) -> None:
    assert twin.parts["text_encoder"] is base.parts["text_encoder"] and twin.parts["vae"] is base.parts["vae"]
    ours, theirs = (each.parts["transformer"].state_dict() for each in (base, twin))
    assert ours.keys() == theirs.keys() and any(not torch.equal(ours[name], theirs[name]) for name in ours)
    assert twin.folder.name == "Z-Image-Turbo" and twin.sha256 != base.sha256


def test_its_other_networks_need_not_be_there(folders: dict[str, Path], base: BaseModel, tmp_path: Path) -> None:
    """The text encoder of a twin is its base model's; a copy of it on disk is not read."""
    folder = Path(shutil.copytree(folders["twin"], tmp_path / "Turbo"))
    weights = folder / "text_encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert load_twin(str(folder), base, tmp_path / "home").denoiser.dtype is base.denoiser.dtype


def test_another_family_or_size_is_refused(folders: dict[str, Path], base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"the one is a FLUX.2 \[klein\], the other a Z-Image. A twin is a few-step"):
        load_twin(str(folders["klein"]), base, tmp_path / "home")
    folder = Path(shutil.copytree(folders["twin"], tmp_path / "small"))
    config = json.loads((folder / "transformer" / "config.json").read_text())
    (folder / "transformer" / "config.json").write_text(json.dumps(config | {"n_layers": 1}))
    with pytest.raises(SetupError, match="their networks differ in size"):
        load_twin(str(folder), base, tmp_path / "home")


def test_the_engine_draws_drafts_with_the_twin(base: BaseModel, twin: BaseModel, tmp_path: Path) -> None:
    said: list[Any] = []
    engine = Engine(base, said.append, twin=twin)
    weights = tmp_path / "weights.safetensors"
    save_learned(weights, adapt(base.denoiser), base.denoiser)

    def drawn(quality: str, learned: bool) -> bytes:
        folder = tmp_path / f"{quality}-{learned}"
        folder.mkdir()
        how = {"steps": 2, "guidance": 1.0, "negative": "", "scheduler": "euler", "vary_seed": None, "facts": {}}
        file = str(weights) if learned else None
        task = ImagineTask(
            job="one", folder=str(folder), prompt="a dog", weights=file, seeds=(3,), quality=quality, **how
        )
        engine.inbox.put(task)
        engine.run_until_idle()
        result = last_result(said)
        assert result.state == "done", result
        return Image.open(result.files[0]).tobytes()

    pictures = {
        (quality, learned): drawn(quality, learned) for quality in ("draft", "final") for learned in (True, False)
    }
    assert len({*pictures.values()}) == 4
    alone = Engine(twin, said.append)
    with engine.drafted.loaded(str(weights)) as ours, alone.subjects.loaded(str(weights)) as theirs:
        assert isinstance(ours, AdaptedDenoiser) and isinstance(theirs, AdaptedDenoiser)
        networks = [each.rows.network.backbone for each in (ours, theirs)]
        same = zip(*(network.parameters() for network in networks), strict=True)
        assert all(torch.equal(mine, other) for mine, other in same)


def job(quality: str | None = None) -> ImagineJob:
    return ImagineJob(space="s", owner="o", prompt="a dog", model_prompt="a dog", seed=1, quality=quality)


def subject(method: str) -> Subject:
    return Subject(space="s", owner="o", name="rex", noun="dog", base_model="b", method=method)


def test_which_model_draws() -> None:
    lora, full = subject("lora"), subject("full")
    assert quality_of(job(), [], has_twin=False) == "final"
    assert quality_of(job(), [lora], has_twin=True) == "draft"
    assert quality_of(job(), [lora, full], has_twin=True) == "final"
    assert quality_of(job("final"), [lora], has_twin=True) == "final"
    with pytest.raises(UserError, match="no few-step model here"):
        quality_of(job("draft"), [lora], has_twin=False)
    with pytest.raises(UserError, match="rex was learned in full"):
        quality_of(job("draft"), [full], has_twin=True)


@pytest.mark.slow
def test_doctor_names_the_twin_that_fits_and_refuses_others(folders: dict[str, Path]) -> None:
    base = folders["base"]
    lines = report(settings(base)).lines
    assert any("Z-Image is published under Apache 2.0 (https://" in line for line in lines)
    assert any("Tongyi-MAI/Z-Image-Turbo could draw drafts in a few steps" in line for line in lines)
    lines = report(settings(base, str(folders["twin"]))).lines
    assert any("Drafts are drawn by the few-step model" in line and "compare the two" in line for line in lines)
    refused = report(settings(base, str(folders["klein"])))
    assert refused.state == "fail" and "cannot draw what is learned on" in refused.lines[0]


def test_a_model_with_conditions_does_not_start_until_they_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = PEERS["krea2-raw"].write(tmp_path / "krea")
    monkeypatch.delenv("DARKROOM_ACCEPTED_LICENCES", raising=False)
    with pytest.raises(SetupError, match=r"a content filter .* set DARKROOM_ACCEPTED_LICENCES=krea-2-community"):
        load_base(str(folder))
    refused = report(settings(folder))
    assert refused.state == "fail" and "Krea 2 Community License" in refused.lines[0]
    monkeypatch.setenv("DARKROOM_ACCEPTED_LICENCES", "another, Krea-2-Community")
    assert load_base(str(folder)).family.name == "Krea 2"
    lines = report(settings(folder)).lines
    assert any("with conditions: commercial use only below" in line for line in lines)
