"""Denoising diffusion (Ho et al. 2020, arXiv 2006.11239) in discrete steps, and five ways to draw with it."""

from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
)
from torch import Generator, Tensor

from storage.errors import UserError

SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),  # latents go far beyond the pixels' -1 and 1
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-a": (EulerAncestralDiscreteScheduler, {}),
    "dpm++2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
}
LEAST_SIGNAL = 1e-4  # of a latent's variance
WITHOUT_RESCALING = {"pndm"}  # diffusers' own of these leave out rescale_betas_zero_snr without a word


class DiscreteDiffusion:
    """A `NoiseProcess` whose times are whole numbers, and whose target is the noise or the velocity."""

    def __init__(self, scheduler: Any) -> None:
        """`scheduler` is diffusers' DDPMScheduler with the model's settings."""
        self.scheduler = scheduler

    def draw_times(self, latents: Tensor, chance: Generator) -> Tensor:
        """Each step is as likely as the others."""
        steps = self.scheduler.config.num_train_timesteps
        return torch.randint(steps, (len(latents),), generator=chance, device=chance.device)

    def spaced_times(self, latents: Tensor) -> Tensor:
        """See `NoiseProcess`."""
        steps, count = self.scheduler.config.num_train_timesteps, len(latents)
        return torch.tensor([steps * (2 * k + 1) // (2 * count) for k in range(count)], device=latents.device)

    def add_noise(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Eq. 4 of the paper."""
        noisy: Tensor = self.scheduler.add_noise(clean, noise, t)
        return noisy

    def target(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The noise, or the velocity (Salimans & Ho 2022) if the scheduler says so.

        Raises ValueError for another prediction type.
        """
        kind = self.scheduler.config.prediction_type
        if kind == "epsilon":
            return noise
        if kind == "v_prediction":
            velocity: Tensor = self.scheduler.get_velocity(clean, noise, t)
            return velocity
        raise ValueError(f"prediction type {kind} cannot be trained")

    def clean(self, noisy: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
        """Eq. 4 the other way round."""
        alphas: Tensor = self.scheduler.alphas_cumprod.to(noisy.device)[t.long()].to(noisy.dtype).view(-1, 1, 1, 1)
        if self.scheduler.config.prediction_type == "v_prediction":
            return alphas.sqrt() * noisy - (1 - alphas).sqrt() * predicted
        # A schedule may end in nothing but noise, of which nobody can tell what is beneath.
        return (noisy - (1 - alphas).sqrt() * predicted) / alphas.clamp(min=LEAST_SIGNAL).sqrt()

    def snr_weights(self, t: Tensor, gamma: float) -> Tensor:
        """Min-SNR-γ (Hang et al. 2023, arXiv 2303.09556): min(SNR, γ) ÷ SNR, or ÷ (SNR + 1) for velocity.

        A nearly clean latent says little of the picture, but its noise is hard to tell and would rule the gradient.
        """
        alphas = self.scheduler.alphas_cumprod.to(t.device)[t]
        snr = alphas / (1 - alphas)
        weights: Tensor = snr.clamp(max=gamma) / (snr + (self.scheduler.config.prediction_type == "v_prediction"))
        return weights

    def sampler(self, name: str, steps: int, latents: int, device: torch.device) -> Any:
        """The scheduler `name` on the model's noise schedule, which is the same for all sizes."""
        kind, options = SCHEDULERS[name]
        if name in WITHOUT_RESCALING and self.scheduler.config.rescale_betas_zero_snr:
            others = ", ".join(other for other in SCHEDULERS if other not in WITHOUT_RESCALING)
            raise UserError(
                f"The scheduler {name} cannot draw with this base model, whose noise schedule ends in nothing but "
                f"noise. Take one of {others}."
            )
        scheduler = kind.from_config(self.scheduler.config, **options)
        scheduler.set_timesteps(steps, device=device)
        return scheduler
