"""Behind the protocol of families a Stable Diffusion computes to the last bit what diffusers' networks do in a loop."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from trainer.diffusion import latents, sampling
from trainer.diffusion.losses import dreambooth_loss
from trainer.models.base import load_base
from trainer.models.stable_diffusion.model import StableDiffusion

KINDS = ("micro_sd1", "micro_sd2", "micro_sdxl")
PROMPTS = ["a photo of zuf dog", "a photo of a dog"]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> StableDiffusion:
    folder: Path = request.getfixturevalue(request.param)
    base = load_base(str(folder))
    assert isinstance(base, StableDiffusion)
    return base


def predicted(model: StableDiffusion, noisy: Tensor, t: Tensor, prompts: list[str], zeros: int = 0) -> Tensor:
    """As diffusers' scripts and pipelines call the networks; for the first `zeros` prompts they are told nothing."""
    unet, *encoders = (part for name, part in model.parts.items() if name != "vae")
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    ids = [tokenizer(prompts, **options).input_ids for tokenizer in model.tokenizers]
    if len(encoders) == 1:
        return unet(noisy, t, encoders[0](ids[0]).last_hidden_state).sample
    states = [encoder(each, output_hidden_states=True) for encoder, each in zip(encoders, ids, strict=True)]
    tokens, pooled = torch.cat([state.hidden_states[-2] for state in states], -1), states[1].text_embeds
    tokens[:zeros], pooled[:zeros] = 0, 0
    height, width = (8 * side for side in noisy.shape[2:])
    sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32).expand(len(noisy), 6)
    return unet(noisy, t, tokens, added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes}).sample


@torch.no_grad()
def test_the_loss_of_a_batch_is_that_of_a_plain_loop_to_the_last_bit(model: StableDiffusion) -> None:
    chance = torch.Generator().manual_seed(3)
    pixels = torch.rand(2, 3, 64, 64, generator=chance) * 2 - 1
    seen = model.vae.encode(pixels).latent_dist
    drawn, noise = (torch.randn(seen.mean.shape, generator=chance) for _ in range(2))
    clean = (seen.mean + seen.std * drawn) * model.vae.config.scaling_factor
    t = torch.randint(1000, (2,), generator=torch.Generator().manual_seed(4))
    wanted = model.scheduler.get_velocity(clean, noise, t) if is_velocity(model) else noise
    guess = predicted(model, model.scheduler.add_noise(clean, noise, t), t, PROMPTS)
    plain = dreambooth_loss(guess, wanted, 1, 0.7)

    mean, std = latents.moments(model, pixels)
    ours = model.normalised(mean + std * drawn)
    process = model.process
    assert torch.equal(ours, clean)
    assert torch.equal(process.draw_times(ours, torch.Generator().manual_seed(4)), t)
    text = model.denoiser.read(model.token_ids(PROMPTS))
    guess = model.denoiser(process.add_noise(ours, noise, t), t, text)
    assert dreambooth_loss(guess, process.target(ours, noise, t), 1, 0.7) == plain


@torch.no_grad()
@pytest.mark.parametrize("negative", ["", "a cat"])
def test_a_picture_is_that_of_a_plain_loop_to_the_last_bit(model: StableDiffusion, negative: str) -> None:
    scheduler: Any = DDIMScheduler.from_config(model.scheduler.config, clip_sample=False)
    scheduler.set_timesteps(4)
    plain = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    for t in scheduler.timesteps:
        rows, told_nothing = torch.cat([plain, plain]), int(not negative and len(model.tokenizers) == 2)
        without, with_text = predicted(model, rows, t, [negative, PROMPTS[0]], told_nothing).chunk(2)
        plain = scheduler.step(without + 5.0 * (with_text - without), t, plain).prev_sample
    how = {"steps": 4, "guidance": 5.0, "negative": negative, "scheduler": "ddim"}
    ours = sampling.sample_latents(model, model.denoiser, PROMPTS[0], [5], **how)
    assert torch.equal(ours, plain)
    pixels = model.vae.decode(plain / model.vae.config.scaling_factor).sample
    assert torch.equal(model.decode(ours), pixels)


def is_velocity(model: StableDiffusion) -> bool:
    return model.scheduler.config.prediction_type == "v_prediction"
