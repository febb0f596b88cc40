"""LoRA: adapters that learn, files that other programs read, weights that draw the same either way."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from tests.support.converted_subjects import drawn, drawn_plainly, order
from trainer.diffusion import sampling
from trainer.dreambooth import lora
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import learn
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for
from trainer.models.denoiser import Denoiser

ALPHAS = {"alpha is the rank": 4, "alpha is twice the rank": 8}


@pytest.fixture(scope="module")
def both(base: BaseModel, photos: list[Path]) -> dict[str, Denoiser]:
    """What was learned with each alpha."""
    rates = {"learning_rate": 1e-2, "text_learning_rate": 1e-2}
    found = {}
    for name, alpha in ALPHAS.items():
        how = recipe_for(base.folder, method="lora", rank=4, alpha=alpha, steps=6, **rates)
        found[name] = learn(base, [(SubjectSpec(photos, "dog", "zuf"), None)], how, 0, lambda step: None).denoiser
    return found


@pytest.fixture(scope="module")
def files(base: BaseModel, both: dict[str, Denoiser], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("lora")
    paths = {name: folder / f"{alpha}.safetensors" for name, alpha in ALPHAS.items()}
    for name, path in paths.items():
        save_learned(path, both[name], base.denoiser)
    return paths


@pytest.fixture(scope="module")
def theirs(base: BaseModel, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """What plain diffusers draw from the files, in a process of their own."""
    orders = [order(name, "lora", path, base) for name, path in files.items()]
    return drawn_plainly(orders, tmp_path_factory.mktemp("plain"))


@pytest.fixture(params=ALPHAS)
def alpha(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def learned(alpha: str, both: dict[str, Denoiser]) -> Denoiser:
    return both[alpha]


@pytest.fixture
def file(alpha: str, files: dict[str, Path]) -> Path:
    return files[alpha]


def latents(base: BaseModel, denoiser: Denoiser) -> Tensor:
    return sampling.sample_latents(base, denoiser, "a zuf dog", [3], steps=4, guidance=5.0, scheduler="ddim")


def test_fresh_adapters_change_nothing(base: BaseModel) -> None:
    fresh = lora.with_adapters(base.denoiser, rank=4, alpha=4, read=True, seed=0)
    assert torch.equal(latents(base, fresh), latents(base, base.denoiser))


def test_only_adapters_learn_and_the_base_is_shared(base: BaseModel, learned: Denoiser) -> None:
    shared = {weight.data_ptr() for weight in base.denoiser.parameters()}
    own = [name for name, weight in learned.named_parameters() if weight.data_ptr() not in shared]
    assert own and all("lora_" in name for name in own)
    assert not lora.adapters(base.denoiser)


def test_the_file_is_small_and_holds_adapters_alone(base: BaseModel, file: Path) -> None:
    with safe_open(file, "pt") as kept:
        names = set(kept.keys())
        ranks = {kept.get_tensor(name).shape[0] for name in names if name.endswith("lora_down.weight")}
        alphas = {float(kept.get_tensor(name)) for name in names if name.endswith("alpha")}
    assert ranks == {4} and alphas in (set(), {8.0})  # an alpha that is the rank goes without saying
    assert {name.partition(".")[2] for name in names} - {"alpha"} == {"lora_down.weight", "lora_up.weight"}
    assert {name.split("_")[1] for name in names} == {"unet", "te"}


def test_weights_from_the_file_draw_what_the_adapters_draw(base: BaseModel, learned: Denoiser, file: Path) -> None:
    loaded = base.denoiser.copy()
    load_learned(file, loaded, base.denoiser)
    plain, live, kept = (latents(base, denoiser) for denoiser in (base.denoiser, learned, loaded))
    assert (live - plain).norm() > 0.1 * plain.norm()
    assert (kept - live).norm() < 0.02 * (live - plain).norm()


@pytest.mark.slow
def test_diffusers_reads_the_file_in_a_process_of_its_own(
    base: BaseModel, file: Path, alpha: str, theirs: dict[str, Tensor]
) -> None:
    loaded = base.denoiser.copy()
    load_learned(file, loaded, base.denoiser)
    ours, plain = drawn(base, loaded), drawn(base, base.denoiser)
    assert (theirs[alpha] - ours).norm() < 0.02 * (ours - plain).norm()


def test_adapters_of_another_model_are_refused(base: BaseModel, file: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "other.safetensors"
    save_file({name: value.new_zeros(3) for name, value in load_file(file).items()}, path)
    with pytest.raises(ValueError, match="was not learned on this base model"):
        load_learned(path, base.denoiser.copy(), base.denoiser)
