"""Latents of more channels than four, as an autoencoder of factor eight needs for cartoons."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch import Generator

from storage.errors import SetupError
from tests.support.micro_models import write_micro_model
from tests.support.single_file_models import tell, write_single
from trainer.diffusion import sampling
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import learn
from trainer.models.base import load_base
from trainer.models.default_recipe import recipe_for

CHANNELS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_micro_model(tmp_path_factory.mktemp("wide"), latent_channels=CHANNELS)


def test_they_are_drawn_as_by_diffusers(folder: Path) -> None:
    base = load_base(str(folder))
    assert base.latent_shape()[0] == base.latent_channels == CHANNELS
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn((1, *base.latent_shape()), generator=Generator().manual_seed(3))
    how: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0}
    theirs = pipeline("a dog", latents=noise, output_type="latent", **how).images
    ours = sampling.sample_latents(base, base.denoiser, "a dog", [3], steps=3, guidance=5.0, scheduler="ddim")
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_subject_is_learned_on_them(folder: Path, photos: list[Path]) -> None:
    base = load_base(str(folder))
    recipe = recipe_for(base.folder, steps=2, prior="none")
    losses = learn(base, [(SubjectSpec(photos, "dog", "zuf"), None)], recipe, 0, lambda _: None).losses
    assert len(losses) == 2 and all(0 < loss < 10 for loss in losses)


def test_a_single_file_has_them_too(folder: Path, tmp_path: Path) -> None:
    base = load_base(str(write_single(folder, tmp_path / "it.safetensors")))
    assert base.latent_channels == CHANNELS


def test_unet_and_vae_have_to_agree(tmp_path: Path) -> None:
    folder = write_micro_model(tmp_path, latent_channels=CHANNELS)
    tell(folder, "vae/config.json", latent_channels=4)
    with pytest.raises(SetupError, match="its VAE has 4 channels and not 8"):
        load_base(str(folder))
