"""Stable Diffusion 1.x, 2.x and XL: drawing and training, compared with diffusers' own."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image
from torch import Generator, Tensor
from torch.nn.functional import mse_loss

from storage.contract.recipe import Recipe
from storage.nouns import class_prompt
from tests.support.micro_models import write_micro_sd2
from tests.support.quick import pairs_slow_but, slow_but
from trainer.diffusion import sampling
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import instance_prompt
from trainer.dreambooth.train import Training, TrainingResult, learn
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.noise import ddpm

KINDS = {"sd1": StableDiffusionPipeline, "sd2": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
SIDE = 8  # of the latents; eight pixels each


@pytest.fixture(scope="module")
def folders(micro_sd1: Path, micro_sd2: Path, micro_sdxl: Path) -> dict[str, Path]:
    torch.set_num_threads(1)
    return {"sd1": micro_sd1, "sd2": micro_sd2, "sdxl": micro_sdxl}


@pytest.fixture(scope="module")
def bases(folders: dict[str, Path]) -> dict[str, BaseModel]:
    return {kind: load_base(str(folder)) for kind, folder in folders.items()}


def pipeline_of(kind: str, folder: Path) -> Any:
    pipeline = KINDS[kind].from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


# ── drawing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def theirs(pipeline: Any, negative: str, **how: Any) -> Tensor:
    """What diffusers' pipeline draws with DDIM from the noise of seed 3."""
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    noise = torch.randn((1, 4, SIDE, SIDE), generator=Generator().manual_seed(3))
    how = {"latents": noise, "num_inference_steps": 5, "guidance_scale": 5.0, "height": 64, "width": 64, **how}
    drawn: Tensor = pipeline("a zuf dog", negative_prompt=negative or None, output_type="latent", **how).images
    return drawn


def ours(base: BaseModel, negative: str = "", **how: Any) -> Tensor:
    how = {"steps": 5, "guidance": 5.0, "scheduler": "ddim", "negative": negative, **how}
    return sampling.sample_latents(base, base.denoiser, "a zuf dog", [3], **how)


@pytest.mark.parametrize(
    ("kind", "negative"),
    pairs_slow_but(product(KINDS, ("", "blue cat")), ("sd1", "blue cat"), ("sd2", ""), ("sdxl", "")),
)
def test_pictures_are_those_of_diffusers(
    bases: dict[str, BaseModel], folders: dict[str, Path], kind: str, negative: str
) -> None:
    drawn = ours(bases[kind], negative)
    assert drawn.std() > 0.1
    assert torch.allclose(drawn, theirs(pipeline_of(kind, folders[kind]), negative), atol=1e-4)


def test_a_schedule_without_a_trace_of_the_picture_at_its_end_is_kept(tmp_path: Path) -> None:
    folder = write_micro_sd2(tmp_path, rescale_betas_zero_snr=True, timestep_spacing="trailing")
    base = load_base(str(folder))
    assert base.scheduler.alphas_cumprod[-1] == 0
    assert torch.allclose(ours(base), theirs(pipeline_of("sd2", folder), ""), atol=1e-4)
    heeding = ddpm.SCHEDULERS.keys() - ddpm.WITHOUT_RESCALING  # pndm is refused: test_refused_models.py
    assert all(torch.isfinite(ours(base, scheduler=name)).all() for name in heeding)


def test_sdxl_is_told_how_large_the_picture_is(bases: dict[str, BaseModel], folders: dict[str, Path]) -> None:
    pipeline = pipeline_of("sdxl", folders["sdxl"])
    noise = torch.randn((1, 4, 12, 12), generator=Generator().manual_seed(3))
    drawn = theirs(pipeline, "", latents=noise, height=96, width=96)
    assert torch.allclose(ours(bases["sdxl"], size=(96, 96)), drawn, atol=1e-4)


def test_zeros_stand_for_an_empty_negative_prompt_where_the_model_says_so(bases: dict[str, BaseModel]) -> None:
    read = bases["sdxl"].guides(bases["sdxl"].denoiser, "", "a dog")
    assert not read.tokens[0].any() and read.tokens[1].any()
    assert read.pooled is not None and not read.pooled[0].any() and read.pooled[1].any()
    assert bases["sd2"].guides(bases["sd2"].denoiser, "", "a dog").tokens[0].any()


# ── training ──────────────────────────────────────────────────────────────────────────────────────────────────────


def recipe(base: BaseModel, **changes: Any) -> Recipe:
    return recipe_for(base.folder, **{"steps": 4, "warmup_steps": 0, "learning_rate": 1e-3, **changes})


def class_latents() -> Tensor:
    return torch.randn(4, 4, SIDE, SIDE, generator=Generator().manual_seed(1))


def trained(base: BaseModel, photos: list[Path], how: Recipe) -> TrainingResult:
    return learn(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents())], how, 0, lambda step: None)


def plain_losses(kind: str, folder: Path, training: Training) -> list[float]:
    """The losses of a loop that is written in diffusers' own terms, on the examples of `training`."""
    how, pipeline = training.recipe, pipeline_of(kind, folder)
    schedule = DDPMScheduler.from_pretrained(folder / "scheduler")
    encoders = [pipeline.text_encoder, pipeline.text_encoder_2] if kind == "sdxl" else [pipeline.text_encoder]
    words = [encoder.get_input_embeddings().weight for encoder in encoders]
    others = [p for part in (pipeline.unet, *encoders) for p in part.parameters() if all(p is not w for w in words)]
    groups = [{"params": others}, {"params": words, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=how.learning_rate, weight_decay=how.weight_decay)
    chance, losses = Generator().manual_seed(0), []
    for _ in range(how.steps):
        (batch,) = training.subjects[0].examples.draw(how.batch, 1, chance)
        prompts, added = [instance_prompt("zuf", "dog"), class_prompt("dog")], None
        read, _, *pooled = pipeline.encode_prompt(
            prompt=prompts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        if kind == "sdxl":
            px = (8 * SIDE, 8 * SIDE)
            sizes = pipeline._get_add_time_ids(px, (0, 0), px, read.dtype, pooled[0].shape[-1])
            added = {"text_embeds": pooled[0], "time_ids": sizes.expand(2, -1)}
        noisy = schedule.add_noise(batch.clean, batch.noise, batch.t)
        predicted = pipeline.unet(noisy, batch.t, read, added_cond_kwargs=added).sample
        velocity = schedule.config.prediction_type == "v_prediction"
        wanted = schedule.get_velocity(batch.clean, batch.noise, batch.t) if velocity else batch.noise
        loss = mse_loss(predicted[0], wanted[0]) + how.prior_weight * mse_loss(predicted[1], wanted[1])
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*others, *words], how.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("kind", slow_but(KINDS, "sd2"))
def test_losses_are_those_of_a_plain_loop_of_diffusers(
    bases: dict[str, BaseModel], folders: dict[str, Path], photos: list[Path], kind: str
) -> None:
    base = bases[kind]
    how = recipe(base, text_learning_rate=1e-3, steps=20)
    training = Training(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents())], how, 0)
    expected = plain_losses(kind, folders[kind], training)
    assert trained(base, photos, how).losses == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "method"), pairs_slow_but(product(KINDS, ("full", "lora")), ("sd1", "full"), ("sd2", "lora"))
)
def test_what_was_learned_is_kept_and_drawn(
    bases: dict[str, BaseModel], photos: list[Path], tmp_path: Path, kind: str, method: str
) -> None:
    base = bases[kind]
    learned = trained(base, photos, recipe(base, method=method, learning_rate=1e-2, text_learning_rate=1e-2))
    save_learned(tmp_path / "w.safetensors", learned.denoiser, base.denoiser)
    kept = base.denoiser.copy()
    load_learned(tmp_path / "w.safetensors", kept, base.denoiser)
    how: dict[str, Any] = {"steps": 3, "guidance": 5.0}
    plain, live, loaded = (
        sampling.sample_latents(base, denoiser, "a zuf dog", [3], **how)
        for denoiser in (base.denoiser, learned.denoiser, kept)
    )
    assert (live - plain).norm() > 0.01 * plain.norm()
    assert (loaded - live).norm() < 0.1 * (live - plain).norm()


def test_all_networks_of_sdxl_learn(bases: dict[str, BaseModel], photos: list[Path]) -> None:
    before = bases["sdxl"].denoiser.state_dict()
    learned = trained(bases["sdxl"], photos, recipe(bases["sdxl"])).denoiser.state_dict()
    changed = {name.partition(".")[0] for name, value in learned.items() if not torch.equal(value, before[name])}
    assert changed == {"unet", "text_encoder", "text_encoder_2"}


# ── half precision ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def any_precision() -> Iterator[None]:
    """Accelerate keeps the first precision of a process; an engine has only one."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "method"), pairs_slow_but(product(("sd2", "sdxl"), ("full", "lora")), ("sd2", "full"))
)
@pytest.mark.usefixtures("any_precision")
def test_a_base_model_in_half_precision_draws_and_learns_alike(
    bases: dict[str, BaseModel], folders: dict[str, Path], photos: list[Path], kind: str, method: str, precision: Any
) -> None:
    half = load_base(str(folders[kind]), precision=precision)
    assert {weight.dtype for weight in half.denoiser.parameters()} == {getattr(torch, precision)}
    assert {weight.dtype for weight in half.vae.parameters()} == {torch.float32}
    whole, drawn = ours(bases[kind]), ours(half)
    assert drawn.dtype == torch.float32
    assert (drawn - whole).norm() < 0.05 * whole.norm()
    (image,) = sampling.decode(half, drawn)
    assert isinstance(image, Image.Image)

    learned = trained(half, photos, recipe(half, method=method))
    weights = learned.denoiser.named_parameters()
    assert {weight.dtype for name, weight in weights if method == "full" or "lora_" in name} == {torch.float32}
    AcceleratorState._reset_state()
    assert learned.losses == pytest.approx(trained(bases[kind], photos, recipe(half, method=method)).losses, rel=0.02)
