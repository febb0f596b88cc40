"""Flow matching (Lipman et al. 2022, arXiv 2210.02747) along straight lines, as rectified flow has them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from torch import Generator, Tensor

from storage.errors import UserError

Shift = Callable[[int, int], float]  # by latents and steps: the logarithm of the factor that moves times to noise


def linear_shift(schedule: Mapping[str, Any], latents_per_token: int, latents: int, steps: int) -> float:
    """The shift that FLUX.1 introduced: linear in a picture's tokens, by two points in the schedule's settings."""
    few, many = schedule.get("base_image_seq_len", 256), schedule.get("max_image_seq_len", 4096)
    low, high = schedule.get("base_shift", 0.5), schedule.get("max_shift", 1.15)
    return float(low + (latents / latents_per_token - few) * (high - low) / (many - few))


class FlowMatching:
    """A `NoiseProcess`: latents are (1 − σ)·clean + σ·noise at the time σ · steps, the target is noise − clean."""

    def __init__(self, scheduler: FlowMatchEulerDiscreteScheduler, shift: Shift) -> None:
        """`scheduler` has the model's settings; `shift` counts where these say that it depends on the size."""
        self.scheduler, self.shift = scheduler, shift
        self.steps = int(scheduler.config.num_train_timesteps)
        self._times: Tensor = scheduler.timesteps

    def draw_times(self, latents: Tensor, chance: Generator) -> Tensor:
        """Each entry of the schedule's own table is as likely as the others, as in diffusers' scripts."""
        self._times = self._times.to(chance.device)  # once: each time a step would wait for the device
        return self._times[torch.randint(len(self._times), (len(latents),), generator=chance, device=chance.device)]

    def spaced_times(self, latents: Tensor) -> Tensor:
        """See `NoiseProcess`."""
        count = len(latents)
        return (torch.arange(count, device=latents.device) + 0.5) * (self.steps / count)

    def add_noise(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """See the class."""
        sigma = (t / self.steps).view(-1, 1, 1, 1)
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The velocity, which is the same at all times."""
        return noise - clean

    def clean(self, noisy: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
        """Along the line to its end."""
        return noisy - (t / self.steps).to(noisy.dtype).view(-1, 1, 1, 1) * predicted

    def snr_weights(self, t: Tensor, gamma: float) -> Tensor:
        """Min-SNR-γ weighs what predicts noise; nobody has said what it would be here. Raises UserError."""
        raise UserError("snr_gamma is not defined for models that are trained by flow matching: set snr_gamma=0.")

    def sampler(self, name: str, steps: int, latents: int, device: torch.device) -> Any:
        """Euler's method as the model's pipeline has it, or the same schedule for DPM-Solver++."""
        if name not in SAMPLERS:
            raise UserError(
                f"The scheduler {name} cannot draw with this base model, which is trained by flow matching. "
                f"Take one of {', '.join(SAMPLERS)}."
            )
        shift = self.shift(latents, steps) if self.scheduler.config.use_dynamic_shifting else None
        return SAMPLERS[name](self.scheduler, steps, shift, device)


class EulerFlowScheduler(FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]
    """diffusers' scheduler with what its others have besides."""

    init_noise_sigma = 1.0

    def scale_model_input(self, latents: Tensor, t: Tensor) -> Tensor:
        """The model takes latents as they are."""
        return latents


def _euler(scheduler: Any, steps: int, shift: float | None, device: torch.device) -> Any:
    euler = EulerFlowScheduler.from_config(scheduler.config)
    euler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=shift, device=device)
    return euler


def _solver(scheduler: Any, steps: int, shift: float | None, device: torch.device) -> Any:
    solver = DPMSolverMultistepScheduler(
        num_train_timesteps=scheduler.config.num_train_timesteps,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=scheduler.config.shift if shift is None else math.exp(shift),
        solver_order=2,
    )
    solver.set_timesteps(steps, device=device)
    return solver


SAMPLERS: dict[str, Callable[[Any, int, float | None, torch.device], Any]] = {"euler": _euler, "dpm++2m": _solver}
