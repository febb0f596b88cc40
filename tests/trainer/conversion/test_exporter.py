"""Exports: plain diffusers, in a process of its own, draws from each format what Darkroom draws."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from storage.errors import UserError
from tests.servers.hub import hub_server
from tests.support.converted_subjects import (
    MICRO,
    MicroBases,
    adapt,
    bring,
    change,
    drawn,
    drawn_plainly,
    export_of,
    order,
)
from tests.support.micro_models import write_micro_sd2
from tests.support.quick import slow_but
from trainer.conversion.exporter import export
from trainer.dreambooth import lora
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.models.base import BaseModel, load_base

METHODS, FORMATS = ("full", "lora"), ("diffusers", "single", "lora")
SINGLE = ("sd1", "full", "single")
CASES = [(base, "full", how) for base in MICRO for how in FORMATS]
CASES += [(base, "lora", how) for base in ("sd1", "sdxl") for how in FORMATS]


@dataclass
class Drawn:
    """What plain diffusers drew from an export, what Darkroom draws, and what the base model alone."""

    theirs: Tensor
    ours: Tensor
    plain: Tensor


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseModel]:
    return MicroBases(tmp_path_factory)


@pytest.fixture(scope="module")
def weights(bases: dict[str, BaseModel], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """What a training of each method leaves on each base model."""
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for name in MICRO:
        for method, learn in zip(METHODS, (change, adapt), strict=True):
            found[name, method] = folder / f"{name}-{method}.safetensors"
            save_learned(found[name, method], learn(bases[name].denoiser), bases[name].denoiser)
    return found


class Exports:
    """Every subject in every format, each written when it is first asked for."""

    def __init__(self, bases: dict[str, BaseModel], weights: dict[tuple[str, str], Path], root: Path) -> None:
        self.bases, self.weights, self.root = bases, weights, root

    def folder(self, name: str, method: str, how: str) -> Path:
        """Where what a method has learned on a base model is exported to."""
        folder = self.root / "-".join((name, method, how))
        if not folder.exists():
            export(export_of(self.bases[name], self.weights[name, method], folder, how), lambda what: None)
        return folder


@pytest.fixture(scope="module")
def exports(
    bases: dict[str, BaseModel], weights: dict[tuple[str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Exports:
    return Exports(bases, weights, tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def both_drew(exports: Exports) -> dict[tuple[str, str, str], Drawn]:
    """All exports, loaded one after another by one process that knows nothing of Darkroom."""
    bases, orders = exports.bases, []
    for name, method, how in CASES:
        folder = exports.folder(name, method, how)
        file = folder if how == "diffusers" else folder / "rex.safetensors"
        orders.append(order(folder.name, how, file, bases[name]))
    alone = exports.folder(*SINGLE) / "rex.safetensors"
    orders.append(order("alone", "single alone", alone, bases["sd1"]))
    with hub_server() as hub:
        hub.add("stable-diffusion-v1-5/stable-diffusion-v1-5", bases["sd1"].folder)
        theirs = drawn_plainly(orders, exports.root, HF_ENDPOINT=hub.url, HF_HOME=str(exports.root / "hf"))
    assert torch.equal(theirs["alone"], theirs["-".join(SINGLE)])  # with settings from the hub as with the folder's
    plain = {name: drawn(base, base.denoiser) for name, base in bases.items()}
    whole = {of: _drawn_with(file, bases[of[0]]) for of, file in exports.weights.items()}
    found = {}
    for case in CASES:
        name, method, how = case
        lora_file = exports.folder(*case) / "rex.safetensors"
        ours = _drawn_with(lora_file, bases[name]) if how == "lora" else whole[name, method]
        found[case] = Drawn(theirs["-".join(case)], ours, plain[name])
    return found


def _drawn_with(weights: Path, base: BaseModel) -> Tensor:
    """What Darkroom draws with what was learned."""
    loaded = base.denoiser.copy()
    load_learned(weights, loaded, base.denoiser)
    return drawn(base, loaded)


@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.slow
def test_plain_diffusers_draws_what_darkroom_draws(case: tuple[str, str, str], both_drew: dict[Any, Drawn]) -> None:
    found = both_drew[case]
    learned = (found.ours - found.plain).norm()
    assert learned > 0.05 * found.plain.norm()
    assert (found.theirs - found.ours).norm() < 0.03 * learned


@pytest.mark.slow
def test_an_sdxl_of_velocity_says_so_as_web_uis_want_it(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    folder = shutil.copytree(bases["sdxl"].folder, tmp_path / "base")
    schedule = folder / "scheduler" / "scheduler_config.json"
    told = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    schedule.write_text(json.dumps(json.loads(schedule.read_text()) | told))
    base = load_base(str(folder))
    save_learned(tmp_path / "learned", change(base.denoiser), base.denoiser)
    export(export_of(base, tmp_path / "learned", tmp_path / "files", "single", precision="full"), lambda what: None)
    file = tmp_path / "files" / "rex.safetensors"
    assert {"v_pred", "ztsnr"} <= load_file(file).keys()
    assert bring(base, file, tmp_path / "out").method == "full"

    shutil.copytree(folder, file.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
    again, learned = load_base(str(file), tmp_path), base.denoiser.copy()
    load_learned(tmp_path / "learned", learned, base.denoiser)
    assert torch.allclose(drawn(again, again.denoiser), drawn(base, learned), atol=1e-4)


def test_half_precision_unless_full_is_asked_for(
    bases: dict[str, BaseModel], weights: dict[Any, Path], exports: Exports, tmp_path: Path
) -> None:
    full = export_of(bases["sd1"], weights["sd1", "full"], tmp_path / "full", "single", precision="full")
    export(full, lambda what: None)
    for file, dtype in [
        (exports.folder("sd1", "full", "single") / "rex.safetensors", torch.float16),
        (exports.folder("sd1", "full", "diffusers") / "unet" / "diffusion_pytorch_model.safetensors", torch.float16),
        (tmp_path / "full" / "rex.safetensors", torch.float32),
    ]:
        assert {weight.dtype for weight in load_file(file).values()} == {dtype}


def test_files_may_be_read_by_whoever_may_read_the_note(exports: Exports) -> None:
    for how in FORMATS:
        folder = exports.folder("sd1", "full", how)
        note = (folder / "README.txt").stat().st_mode
        assert {file.stat().st_mode for file in folder.rglob("*.safetensors")} == {note}


def test_files_say_what_they_are(exports: Exports) -> None:
    for how in ("single", "lora"):
        with safe_open(exports.folder("sdxl", "full", how) / "rex.safetensors", "pt") as file:
            told = file.metadata()
        assert (told["modelspec.title"], told["modelspec.trigger_phrase"]) == ("rex", "zuf dog")
        assert told["modelspec.prediction_type"] == "epsilon"
    with safe_open(exports.folder("sd2", "full", "single") / "rex.safetensors", "pt") as file:
        assert file.metadata()["modelspec.prediction_type"] == "v"


@pytest.mark.slow
@pytest.mark.parametrize("how", slow_but(["lora", "single"], "lora"))
def test_files_for_stable_diffusion_2_are_told_apart_by_web_uis(how: str, tmp_path: Path) -> None:
    base = load_base(str(write_micro_sd2(tmp_path / "sd2", 1024)))
    save_learned(tmp_path / "weights", adapt(base.denoiser), base.denoiser)
    export(export_of(base, tmp_path / "weights", tmp_path / "files", how), lambda what: None)
    with safe_open(tmp_path / "files" / "rex.safetensors", "pt") as file:
        told = file.metadata()
    assert (told["ss_v2"], told["ss_base_model_version"], told["ss_v_parameterization"]) == ("True", "sd_v2_v", "True")
    assert told["modelspec.architecture"] == f"stable-diffusion-v2-768-v{'/lora' if how == 'lora' else ''}"
    if how == "lora":  # and what we write we read
        assert (told["ss_network_dim"], told["ss_network_alpha"]) == ("4", "2")
        assert bring(base, tmp_path / "files" / "rex.safetensors", tmp_path / "out").method == "lora"


@pytest.mark.parametrize("how", FORMATS)
def test_a_note_says_how_to_use_it(how: str, bases: dict[str, BaseModel], exports: Exports) -> None:
    note = (exports.folder("sd2", "full", how) / "README.txt").read_text()
    assert {"a photo of zuf dog", "a zuf dog in Paris"} <= {line.strip() for line in note.splitlines()}
    assert f"Base model: {bases['sd2'].folder.name}" in note and "StableDiffusionPipeline.from_" in note
    assert '--name rex --class "dog" --trigger "zuf"' in note


def test_a_lora_of_a_full_training_says_what_it_keeps(
    bases: dict[str, BaseModel], weights: dict[Any, Path], tmp_path: Path
) -> None:
    base, learned = bases["sd1"], load_file(weights["sd1", "full"])
    shares = {}
    for rank in (2, 32):
        told = export(
            export_of(base, weights["sd1", "full"], tmp_path / str(rank), "lora", rank=rank), lambda what: None
        )
        kept = load_file(tmp_path / str(rank) / "rex.safetensors")
        assert {len(w) for name, w in kept.items() if name.endswith(lora.DOWN)} == {rank}
        held = lora.deltas(kept, base.denoiser)
        whole = sum(d.float().square().sum() for d in learned.values())
        left = sum((d.float() - held.get(name, 0)).square().sum() for name, d in learned.items())
        shares[rank] = float(1 - left / whole)
        assert f"At rank {rank} it keeps {shares[rank]:.0%} of what was learned" in told
        assert "is in embeddings, norms and biases" in told
    assert shares[2] < 0.5 * shares[32]


def test_a_lora_keeps_its_own_rank(bases: dict[str, BaseModel], weights: dict[Any, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave --rank out"):
        export(export_of(bases["sd1"], weights["sd1", "lora"], tmp_path / "rex", "lora", rank=8), lambda what: None)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_learned_from_another_version_is_refused_but_for_lora(
    method: str, bases: dict[str, BaseModel], weights: dict[Any, Path], tmp_path: Path
) -> None:
    said = r"rex was learned from another base model or version of it \(org/sd\)"
    of = {"learned_from": "org/sd", "base_sha256": "0"}
    request = export_of(bases["sd1"], weights["sd1", method], tmp_path / "rex", "single", **of)
    if method == "full":
        with pytest.raises(UserError, match=said):
            export(request, lambda what: None)
    else:
        assert re.match(said, export(request, lambda what: None))
    same = of | {"base_sha256": bases["sd1"].sha256}
    assert not export(export_of(bases["sd1"], weights["sd1", method], tmp_path / "again", "single", **same), print)


def test_weights_of_another_model_are_refused(
    bases: dict[str, BaseModel], weights: dict[Any, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"rex cannot be exported so: .* was not learned on this base model"):
        export(export_of(bases["sd1"], weights["sdxl", "lora"], tmp_path / "rex", "single"), lambda what: None)
