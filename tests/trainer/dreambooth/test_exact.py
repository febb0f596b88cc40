"""The tricks that make a step cheaper change nothing: steps against a loop as plain as can be."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch._dynamo.utils import counters
from torch.nn import functional

from storage.contract.recipe import Recipe
from trainer.diffusion.images import read_photo, to_tensor
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.optim import schedule_of
from trainer.dreambooth.prompts import prompt_pairs
from trainer.dreambooth.state import copied, restore
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for
from trainer.models.stable_diffusion.denoiser import TEXT_LAYERS, UNET_LAYERS

STEPS = 12


def learners(base: BaseModel, recipe: Recipe) -> tuple[Any, Any]:
    """UNet and text encoder, whole or with adapters as diffusers and peft put them in."""
    unet, text_encoder = base.denoiser.copy().train().children()
    networks = [(unet, UNET_LAYERS)] + [(text_encoder, TEXT_LAYERS)] * (recipe.text_learning_rate > 0)
    torch.manual_seed(0)
    for network, layers in networks:
        network.requires_grad_(recipe.method == "full")
        if recipe.method == "lora":
            alpha = recipe.alpha or recipe.rank
            network.add_adapter(LoraConfig(r=recipe.rank, lora_alpha=alpha, target_modules=layers))
    return unet, text_encoder


def plain(base: BaseModel, photos: list[Path], class_latents: Tensor, recipe: Recipe) -> list[float]:
    """As in diffusers' example: photos encoded and prompts read at every step, gradients clipped, then AdamW."""
    unet, text_encoder = learners(base, recipe)
    weights, words = ([w for w in part.parameters() if w.requires_grad] for part in (unet, text_encoder))
    groups: list[dict[str, Any]] = [{"params": weights, "lr": recipe.learning_rate}]
    groups += [{"params": words, "lr": recipe.text_learning_rate}] if words else []
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, foreach=False)
    rate, chance = schedule_of(optimizer, recipe), torch.Generator().manual_seed(0)
    side = base.image_px
    pixels = to_tensor([read_photo(photo).resize((side, side), 1) for photo in photos])
    ids = base.token_ids(list(prompt_pairs("zuf", "dog", 1)[0]))[0]
    losses = []
    for _ in range(recipe.steps):
        which = int(torch.randint(len(photos), (1,), generator=chance))
        with torch.no_grad():
            seen = base.vae.encode(pixels[which : which + 1]).latent_dist
        first = (seen.mean + seen.std * torch.randn(seen.mean.shape, generator=chance)) * base.vae.config.scaling_factor
        other = class_latents[torch.randint(len(class_latents), (1,), generator=chance)]
        clean = torch.cat([first, other])
        noise = torch.cat([torch.randn(part.shape, generator=chance) for part in (first, other)])
        t = torch.cat([torch.randint(base.scheduler.config.num_train_timesteps, (1,), generator=chance) for _ in "ab"])
        read = torch.cat([text_encoder(one[None]).last_hidden_state for one in ids])
        kept = base.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        predicted = unet(kept.sqrt() * clean + (1 - kept).sqrt() * noise, t, read).sample
        errors = functional.mse_loss(predicted, velocity, reduction="none")
        loss = errors[0].mean() + recipe.prior_weight * errors[1].mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*weights, *words], recipe.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        rate.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"text_learning_rate": 0.0}, marks=pytest.mark.slow),
        pytest.param({"gradient_clip": 0.1}, marks=pytest.mark.slow),
        pytest.param({"gradient_checkpointing": True}, marks=pytest.mark.slow),
        {"method": "lora", "rank": 4, "alpha": 8},
        pytest.param({"method": "lora", "text_learning_rate": 0.0}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_losses_equal_those_of_a_plain_loop(base: BaseModel, photos: list[Path], changes: dict[str, Any]) -> None:
    how = recipe_for(base.folder, steps=STEPS, learning_rate=1e-3, word_learning_rate=1e-4, **changes)
    how = how.model_copy(update={"weight_decay": 0.0})  # words have none, which a plain loop does not know
    class_latents = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    training = Training(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents)], how, seed=0)
    for _ in range(STEPS):
        training.step()
    ours = training.losses[:, 0].tolist()
    assert ours == pytest.approx(plain(base, photos, class_latents, how), rel=1e-5, abs=1e-5)
    assert len({round(loss, 6) for loss in ours}) == STEPS


@pytest.mark.exhaustive
@pytest.mark.skipif(not shutil.which("g++"), reason="what compiles for a CPU needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # the compiler's own
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("method", ["full", "lora"])
def test_losses_of_compiled_blocks_equal_those_of_plain_ones(
    base: BaseModel, photos: list[Path], tmp_path: Path, method: str
) -> None:
    class_latents = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    losses = []
    for compiled in ("off", "blocks"):
        how = recipe_for(base.folder, steps=STEPS, method=method, learning_rate=1e-3, compiled=compiled)
        training = Training(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents)], how, seed=0)
        before = counters["frames"]["ok"]
        for step in range(STEPS):
            if step == STEPS // 2:  # goes through a file, as when it goes on elsewhere
                save_file(copied(training), tmp_path / "checkpoint")
                restore(training, load_file(tmp_path / "checkpoint"))
            training.step()
        assert (counters["frames"]["ok"] > before) == (compiled == "blocks")
        losses.append(training.losses[:, 0].tolist())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_several_passes_make_the_same_step_as_one(base: BaseModel, photos: list[Path]) -> None:
    class_latents = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    losses = []
    for batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        how = recipe_for(base.folder, steps=STEPS, learning_rate=1e-3, batch=batch, accumulation=accumulation)
        training = Training(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents)], how, seed=0)
        for _ in range(STEPS):
            training.step()
        losses.append(training.losses)
    for other in losses[1:]:
        assert torch.allclose(losses[0], other, rtol=1e-5, atol=1e-5)
