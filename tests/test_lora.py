"""LoRA: adapters that learn, files that other programs read, weights that draw the same either way."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from tests.conftest import photos_of_a_character
from trainer import generate
from trainer.denoiser import Denoiser
from trainer.dreambooth import learn
from trainer.models import BaseModel
from trainer.recipe import recipe_for
from trainer.training import lora
from trainer.training.material import Subject
from trainer.training.weights import load_learned, save_learned

PLAIN = """
import sys, torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
folder, weights, out = sys.argv[1:]
pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
pipeline.load_lora_weights(weights)
pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
latents = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(3))
drawn = pipeline("a zuf dog", latents=latents, num_inference_steps=4, guidance_scale=5.0, output_type="latent")
torch.save(drawn.images, out)
"""


@pytest.fixture(scope="module", params=[4, 8], ids=["alpha is the rank", "alpha is twice the rank"])
def learned(base: BaseModel, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / upload.name for upload in photos_of_a_character()]
    for path, upload in zip(paths, photos_of_a_character(), strict=True):
        path.write_bytes(upload.data)
    rates = {"learning_rate": 1e-2, "text_learning_rate": 1e-2}
    how = recipe_for(base.folder, method="lora", rank=4, alpha=request.param, steps=6, **rates)
    return learn(base, Subject(paths, "dog", "zuf"), None, how, 0, lambda step: None).denoiser


@pytest.fixture(scope="module")
def file(base: BaseModel, learned: Denoiser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lora") / "weights.safetensors"
    save_learned(path, learned, base.denoiser)
    return path


def latents(base: BaseModel, denoiser: Denoiser) -> Tensor:
    return generate.sample_latents(base, denoiser, "a zuf dog", [3], steps=4, guidance=5.0, scheduler="ddim")


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


def test_diffusers_reads_the_file_in_a_process_of_its_own(base: BaseModel, file: Path, tmp_path: Path) -> None:
    loaded, out = base.denoiser.copy(), tmp_path / "latents"
    load_learned(file, loaded, base.denoiser)
    subprocess.run([sys.executable, "-c", PLAIN, base.folder, file, out], check=True, timeout=100)
    theirs, ours = torch.load(out, weights_only=True), latents(base, loaded)
    plain = latents(base, base.denoiser)
    assert (theirs - ours).norm() < 0.02 * (ours - plain).norm()


def test_adapters_of_another_model_are_refused(base: BaseModel, file: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "other.safetensors"
    save_file({name: value.new_zeros(3) for name, value in load_file(file).items()}, path)
    with pytest.raises(ValueError, match="was not learned on this base model"):
        load_learned(path, base.denoiser.copy(), base.denoiser)
