"""DreamBooth: learn a subject from a few photos without forgetting its class.

Ruiz et al. 2022, arXiv 2208.12242, on latent diffusion: UNet and text encoder learn, the VAE stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from torch import Generator, Tensor

from trainer.losses import dreambooth_loss, target
from trainer.models import BaseModel, Denoiser
from trainer.naming import class_prompt, instance_prompt
from trainer.photos import crops, moments, read_photo, to_tensor
from trainer.recipe import Recipe


@dataclass(frozen=True)
class Step:
    """What the loop tells its watcher after each step; `denoiser` is the model as learned so far."""

    step: int
    loss: float
    instance_loss: float
    prior_loss: float
    denoiser: Denoiser


@dataclass
class Learned:
    """The result of a training."""

    denoiser: Denoiser
    losses: list[float] = field(default_factory=list)


def learn(
    base: BaseModel,
    photos: list[Path],
    noun: str,
    identifier: str,
    class_latents: Tensor | None,
    recipe: Recipe,
    seed: int,
    on_step: Callable[[Step], None],
) -> Learned:
    """Train a copy of the base model's denoiser and return it.

    `class_latents` (n × 4 × h × w, scaled) are the prior-preservation set; None trains without it. `on_step` is
    called after each step and may raise to stop the training.
    """
    accelerator = Accelerator(mixed_precision=recipe.precision, gradient_accumulation_steps=recipe.accumulation)
    chance = Generator("cpu").manual_seed(seed)

    # the examples: moments of the photos' crops, and the class set
    images = [crop for path in photos for crop in crops(read_photo(path), base.image_px, recipe.crops, chance)]
    mean, std = moments(base.vae, to_tensor(images))
    prior = class_latents is not None and recipe.prior_weight > 0

    # the model: a copy, so that the base stays as it is for everybody else
    denoiser = base.denoiser.copy()
    unet, text_encoder = denoiser.unet.train().requires_grad_(True), denoiser.text_encoder.train()
    text_encoder.requires_grad_(recipe.text_learning_rate > 0)
    groups = [{"params": unet.parameters(), "lr": recipe.learning_rate}]
    if recipe.text_learning_rate:
        groups.append({"params": text_encoder.parameters(), "lr": recipe.text_learning_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
    rate = get_scheduler(recipe.schedule, optimizer, recipe.warmup_steps, recipe.steps)
    unet, text_encoder, optimizer = accelerator.prepare(unet, text_encoder, optimizer)
    ids = base.token_ids([instance_prompt(identifier, noun), class_prompt(noun)])

    def draw_batch() -> tuple[Tensor, Tensor, Tensor]:
        """Clean latents, noise and timesteps: instance examples first, class examples after them."""
        which = torch.randint(len(mean), (recipe.batch,), generator=chance)
        spread = torch.randn(mean[which].shape, generator=chance).to(base.device)
        clean = (mean[which] + std[which] * spread) * base.vae.config.scaling_factor
        if prior and class_latents is not None:
            others = torch.randint(len(class_latents), (recipe.batch,), generator=chance)
            clean = torch.cat([clean, class_latents[others].to(base.device)])
        noise = torch.randn(clean.shape, generator=chance).to(base.device)
        t = torch.randint(base.scheduler.config.num_train_timesteps, (len(clean),), generator=chance)
        return clean, noise, t.to(base.device)

    def loss_of_batch() -> tuple[Tensor, Tensor, Tensor]:
        clean, noise, t = draw_batch()
        # both prompts are encoded once, however many examples share them
        prompts = text_encoder(ids if prior else ids[:1]).last_hidden_state
        text = prompts.repeat_interleave(recipe.batch, dim=0)
        predicted = unet(base.scheduler.add_noise(clean, noise, t), t, text).sample
        return dreambooth_loss(predicted, target(base.scheduler, clean, noise, t), recipe.batch, recipe.prior_weight)

    # the loop
    learned = Learned(denoiser)
    for step in range(1, recipe.steps + 1):
        for _ in range(recipe.accumulation):
            with accelerator.accumulate(unet, text_encoder):
                with accelerator.autocast():
                    loss, instance_loss, prior_loss = loss_of_batch()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_([*unet.parameters(), *text_encoder.parameters()], recipe.gradient_clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        rate.step()
        learned.losses.append(loss.item())
        on_step(Step(step, loss.item(), instance_loss.item(), prior_loss.item(), denoiser))
    for module in denoiser.modules():
        module.eval().requires_grad_(False)
    return learned
