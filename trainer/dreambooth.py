"""DreamBooth: learn a subject from a few photos without forgetting its class.

Ruiz et al. 2022, arXiv 2208.12242, on latent diffusion: UNet and text encoder learn, the VAE stays as it is.
Read `learn` first, then `Training` from top to bottom.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from torch import Generator, Tensor

from trainer.losses import dreambooth_loss, snr_weights, target
from trainer.models import BaseModel, Denoiser
from trainer.naming import prompt_pairs
from trainer.photos import crops, moments, read_photo, to_tensor
from trainer.recipe import Recipe

SCALE = ("scale", "_growth_tracker")  # what changes in a gradient scaler


@dataclass(frozen=True)
class Subject:
    """What is to be learned: its photos, its class noun, and the rare token that will mean it."""

    photos: list[Path]
    noun: str
    identifier: str


@dataclass(frozen=True)
class Step:
    """What the loop tells its watcher after each step; `training` is to draw with or to write down, not to change."""

    step: int
    loss: float
    instance_loss: float
    prior_loss: float
    training: "Training"


@dataclass
class Learned:
    """The result of a training."""

    denoiser: Denoiser
    losses: list[float]


def learn(
    base: BaseModel,
    subject: Subject,
    class_latents: Tensor | None,
    recipe: Recipe,
    seed: int,
    on_step: Callable[[Step], None],
    begun: dict[str, Tensor] | None = None,
) -> Learned:
    """Train a copy of the base model's denoiser on a subject and return it.

    `class_latents` (n × 4 × h × w, scaled) are the prior-preservation set; None trains without it. `on_step` is
    called after each step and may raise to stop the training; `begun`, a `Training.state` of before, goes on from
    there, to the same end bit for bit.
    """
    training = Training(base, subject, class_latents, recipe, seed)
    if begun:
        training.load(begun)
    for step in range(len(training.losses) + 1, recipe.steps + 1):
        on_step(Step(step, *training.step(), training))
    for module in training.denoiser.modules():
        module.eval().requires_grad_(False)
    return Learned(training.denoiser, training.losses)


class Training:
    """Model, examples and optimizer of one training; all chance comes from one seeded generator."""

    def __init__(
        self, base: BaseModel, subject: Subject, class_latents: Tensor | None, recipe: Recipe, seed: int
    ) -> None:
        self.base, self.recipe = base, recipe
        self.chance = Generator("cpu").manual_seed(seed)
        self.losses: list[float] = []  # one for each step taken
        self.accelerator = Accelerator(
            mixed_precision=recipe.precision, gradient_accumulation_steps=recipe.accumulation
        )

        # the examples: moments of the photos' crops, and the class set
        photos = [read_photo(path) for path in subject.photos]
        images = [crop for photo in photos for crop in crops(photo, base.image_px, recipe.crops, self.chance)]
        self.mean, self.std = moments(base.vae, to_tensor(images))
        self.class_latents = class_latents if recipe.prior_weight else None

        # the prompts, one of each kind, however many examples share them; in more than one wording if so asked
        kinds = 1 if self.class_latents is None else 2
        pairs = prompt_pairs(subject.identifier, subject.noun, recipe.wordings)
        self.token_ids = [base.token_ids(list(pair[:kinds])) for pair in pairs]

        # the model: a copy, so that the base stays as it is for everybody else
        self.denoiser = base.denoiser.copy()
        unet, text_encoder = (module.train().requires_grad_(True) for module in self.denoiser.modules())
        text_encoder.requires_grad_(recipe.text_learning_rate > 0)

        # the optimizer, with a learning rate for each network, and one for the words themselves
        groups = [{"params": unet.parameters(), "lr": recipe.learning_rate}]
        if recipe.text_learning_rate:
            words = self.denoiser.text_encoder.get_input_embeddings().weight
            layers = [p for p in text_encoder.parameters() if p is not words]
            groups.append({"params": layers, "lr": recipe.text_learning_rate})
            # no decay: most words are in no prompt of the training and must stay as they are
            rate = recipe.word_learning_rate or recipe.text_learning_rate
            groups.append({"params": [words], "lr": rate, "weight_decay": 0.0})
        optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
        schedule = "constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule
        warmup, steps = recipe.warmup_steps, recipe.steps
        self.rate = get_scheduler(schedule, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
        self.unet, self.text_encoder, self.optimizer = self.accelerator.prepare(unet, text_encoder, optimizer)

    def step(self) -> tuple[float, float, float]:
        """Take one optimizer step; return loss, instance loss and prior loss of its last batch."""
        for _ in range(self.recipe.accumulation):
            with self.accelerator.accumulate(self.unet, self.text_encoder):
                with self.accelerator.autocast():
                    losses = self.loss(*self.batch())
                self.accelerator.backward(losses[0])
                if self.accelerator.sync_gradients:
                    learning = [*self.unet.parameters(), *self.text_encoder.parameters()]
                    self.accelerator.clip_grad_norm_(learning, self.recipe.gradient_clip)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
        self.rate.step()
        total, instance, prior = torch.stack(losses).tolist()
        self.losses.append(total)
        return total, instance, prior

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Draw clean latents, noise and timesteps: instance examples first, class examples after them."""
        size = self.recipe.batch
        which = torch.randint(len(self.mean), (size,), generator=self.chance)
        spread = torch.randn(self.mean[which].shape, generator=self.chance).to(self.base.device)
        clean = (self.mean[which] + self.std[which] * spread) * self.base.vae.config.scaling_factor
        if self.class_latents is not None:
            others = torch.randint(len(self.class_latents), (size,), generator=self.chance)
            clean = torch.cat([clean, self.class_latents[others].to(self.base.device)])
        noise = torch.randn(clean.shape, generator=self.chance)
        t = torch.randint(self.base.scheduler.config.num_train_timesteps, (len(clean),), generator=self.chance)
        return clean, noise.to(self.base.device), t.to(self.base.device)

    def loss(self, clean: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 2 of the paper on one batch: loss, instance loss, prior loss."""
        wording = int(torch.randint(len(self.token_ids), (1,), generator=self.chance))
        text = self.text_encoder(self.token_ids[wording]).last_hidden_state
        text = text.repeat_interleave(self.recipe.batch, dim=0)
        predicted = self.unet(self.base.scheduler.add_noise(clean, noise, t), t, text).sample
        wanted = target(self.base.scheduler, clean, noise, t)
        weights = snr_weights(self.base.scheduler, t, self.recipe.snr_gamma) if self.recipe.snr_gamma else None
        return dreambooth_loss(predicted, wanted, self.recipe.batch, self.recipe.prior_weight, weights)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name: the tensors themselves, not copies. The rest is the recipe's."""
        adam = self.optimizer.state_dict()["state"]
        scaler = self.accelerator.scaler  # of half precision alone
        scale = [scaler.state_dict()[name] for name in SCALE] if scaler else []
        return {
            **self.denoiser.state(),
            **{f"adam.{index}.{name}": value for index, kept in adam.items() for name, value in kept.items()},
            "rates": torch.tensor([group["lr"] for group in self.optimizer.param_groups], dtype=torch.float64),
            "scale": torch.tensor(scale, dtype=torch.float64),
            "chance": self.chance.get_state(),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave; raises KeyError or RuntimeError if that was another training."""
        self.losses = state["losses"].tolist()
        self.chance.set_state(state["chance"])
        self.denoiser.load(state)
        adam: dict[int, dict[str, Tensor]] = {}
        for index, name in (key.split(".")[1:] for key in state if key.startswith("adam.")):
            adam.setdefault(int(index), {})[name] = state[f"adam.{index}.{name}"]
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": adam, "param_groups": groups})
        for group, rate in zip(self.optimizer.param_groups, state["rates"].tolist(), strict=True):
            group["lr"] = rate
        self.rate.last_epoch = len(self.losses)  # what the schedule counts by
        if scaler := self.accelerator.scaler:
            scale, tracker = state["scale"].tolist()
            scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": int(tracker)})
