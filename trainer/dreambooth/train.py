"""DreamBooth: learn a subject from a few photos without forgetting its class.

Ruiz et al. 2022, arXiv 2208.12242, on latent diffusion: denoiser and text encoders learn, whole or by LoRA, and the
autoencoder stays as it is. Read `learn` first, then `Training` from top to bottom.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import get_mixed_precision_context_manager
from torch import Generator, Tensor

from storage.contract.recipe import Recipe
from trainer.diffusion.losses import dreambooth_loss
from trainer.dreambooth import compile
from trainer.dreambooth.batches import Batch
from trainer.dreambooth.dataset import SubjectDataset, SubjectSpec
from trainer.dreambooth.fsdp import WHOLE, Shards
from trainer.dreambooth.multi_lora_network import adapters_of
from trainer.dreambooth.optim import clip, optimizer_of, schedule_of
from trainer.dreambooth.state import restore, state_of
from trainer.dreambooth.trainable import accelerator_of, trainable_of
from trainer.models.base import BaseModel
from trainer.models.default_recipe import check_recipe_here
from trainer.models.denoiser import Denoiser, Text, rows_of

Pass = tuple[Batch, Text]  # examples of a forward pass, and the prompts that guide them


@dataclass(frozen=True)
class Step:
    """What the loop tells its watcher after each step; `training` is to draw with or to write down, not to change."""

    step: int
    training: "Training"


@dataclass
class TrainingResult:
    """The result of a training."""

    denoiser: Denoiser
    losses: list[float]
    validated: dict[int, tuple[float, float]]


def learn(
    base: BaseModel,
    subjects: Sequence[tuple[SubjectSpec, Tensor | None]],
    recipe: Recipe,
    seed: int,
    on_step: Callable[[Step], bool | None],
    begun: dict[str, Tensor] | None = None,
    shards: Shards | None = None,
) -> TrainingResult:
    """Train a copy of the base model's denoiser on one or more subjects, and return it.

    Beside each subject stand the latents of its class set (n × c × h × w, scaled); None trains without, and where
    `prior` is not class_set they are not used. `on_step` is called after each step; it may say that this is enough, or
    raise to stop the training. `begun`, the state of a training before, goes on from there, to the same end bit for
    bit. With `shards` each of several processes keeps a share of the training, and the leader has what was learned.
    """
    training = Training(base, subjects, recipe, seed, shards)
    if begun:
        restore(training, begun)
    enough = False
    while training.taken < recipe.steps and not enough:
        training.step()
        enough = bool(on_step(Step(training.taken, training)))
    return training.result()


class Training:
    """Model, examples and optimizer of one training; all chance comes from two seeded generators."""

    def __init__(
        self,
        base: BaseModel,
        subjects: Sequence[tuple[SubjectSpec, Tensor | None]],
        recipe: Recipe,
        seed: int,
        shards: Shards | None = None,
    ) -> None:
        # Here as well as before class images are drawn: research and benchmarks train without an engine.
        check_recipe_here(recipe, base)
        self.base, self.recipe, self.shards, self.taken = base, recipe, shards, 0
        self.choice = Generator("cpu").manual_seed(seed)  # of crops and wordings
        self.chance = Generator(base.device).manual_seed(seed)  # of examples, noise and timesteps
        self.losses = torch.zeros(recipe.steps, 3, device=base.device)  # of each step: all, instance, prior
        self.validated: dict[int, tuple[float, float]] = {}  # by step: of what is held back, instance and prior
        self.accelerator = accelerator_of(base, recipe)
        # made once: to make one at each step looks through the whole environment
        self.casts = get_mixed_precision_context_manager(self.accelerator.native_amp, self.accelerator.autocast_handler)

        # the examples and prompts of each subject; at each step it is the next one's turn
        self.subjects = [SubjectDataset(base, *each, recipe, self.choice) for each in subjects]

        # the model; what text encoders that do not learn read is the same at every step
        self.denoiser = trainable_of(base.denoiser, recipe, seed)
        if not recipe.text_learning_rate:
            for material in self.subjects:
                material.read_by(self.denoiser)

        if recipe.method == "full" and (shards or recipe.optimizer == "adamw8bit"):  # which know no other order
            self.denoiser.backbone.to(memory_format=torch.contiguous_format)
        if shards:  # before the optimizer sees the weights
            shards.divide(self.denoiser)
        elif recipe.compiled != "off" and base.placement.offload == "none":
            compile.compile_blocks(self.denoiser)
        optimizer = optimizer_of(self.denoiser, recipe)
        self.rate = schedule_of(optimizer, recipe)
        self.optimizer = self.accelerator.prepare(optimizer) if self.accelerator.scaler else optimizer
        # It is on the device already, but for blocks that are to lie elsewhere.
        self.model = self.denoiser if shards else self.accelerator.prepare(self.denoiser, device_placement=[False])
        self.predict = compile.Graphs(self.model) if self._captures() else self.model
        self.learning = {name: p for name, p in self.denoiser.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.learning.items()} if recipe.ema_decay else {}
        self.adapters = adapters_of(self.denoiser)
        self._drawn: list[Pass] | None = None  # what the step under way learns from
        self.has_gradients = False  # they come from a pass that is shared with other trainings (multi_lora.py)

    def _captures(self) -> bool:
        """Whether passes are replayed as graphs: one GPU does, unless it is to make activations anew."""
        able = self.base.device.type in compile.CAPTURING and self.accelerator.num_processes == 1
        able = able and self.base.placement.offload == "none"
        return self.recipe.compiled == "graphs" and able and not self.recipe.gradient_checkpointing

    def step(self) -> None:
        """Take one optimizer step. Nothing in it waits for the GPU, where there is one.

        With several processes all draw the same examples, and each learns from its share.
        """
        passes = self.drawn()
        if not self.has_gradients:
            self.backward(passes)
        self._update()

    def drawn(self) -> list[Pass]:
        """What the next step learns from, drawn when it is first asked for; the share of this process."""
        if self._drawn is None:
            recipe, processes = self.recipe, self.accelerator.num_processes
            material = self.subjects[self.taken % len(self.subjects)]
            text = material.texts[int(torch.randint(len(material.texts), (1,), generator=self.choice))]
            # Whole passes for each process: where a recipe has too few, they are divided, which changes rounding alone.
            count = recipe.accumulation * (1 if recipe.accumulation % processes == 0 else processes)
            batches = list(material.examples.draw(recipe.batch * recipe.accumulation, count, self.chance))
            self._drawn = [(batch, text) for batch in batches[self.accelerator.process_index :: processes]]
        return self._drawn

    def backward(self, passes: list[Pass]) -> None:
        """Add up the gradients of a step's passes."""
        for batch, text in passes:
            last = batch is passes[-1][0]
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                with self.casts:
                    # DDP takes the mean over processes, so each divides by the number of its own passes alone.
                    losses = torch.stack(self.loss(self.predict, batch, text)) / len(passes)
                self.accelerator.backward(losses[0])
            self.losses[self.taken] += losses.detach()

    def _update(self) -> None:
        """Have the optimizer take its step by the gradients that are there."""
        recipe = self.recipe
        if self.accelerator.num_processes > 1:
            self.losses[self.taken] = self.accelerator.reduce(self.losses[self.taken], "mean")
        if recipe.text_steps and self.taken >= recipe.text_steps:
            # None rather than zeros: with those, AdamW would go on moving them by momentum and weight decay.
            for encoder in self.denoiser.text_encoders:
                encoder.zero_grad(set_to_none=True)
        if self.accelerator.scaler:  # of half precision: it divides the gradients itself
            self.accelerator.clip_grad_norm_(self.learning.values(), recipe.gradient_clip)
        else:
            clip(self.optimizer, self.learning.values(), recipe.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.rate.step()
        self.taken += 1
        self._drawn, self.has_gradients = None, False
        if self.average:
            self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        """Have the average follow the weights, at first at once: 1 − 1/n of n steps, until that is `ema_decay`."""
        # a decay of 0.999 from the first step on would leave the average at the untrained weights for a thousand
        # steps
        slow = min(self.recipe.ema_decay, 1 - 1 / self.taken)
        torch._foreach_lerp_(list(self.average.values()), list(self.learning.values()), 1 - slow)

    @contextlib.contextmanager
    def drawing(self) -> Iterator[Denoiser]:
        """What is learned so far, to be drawn with and looked at meanwhile: for the leader.

        Another training may take steps meanwhile, so nothing global changes: who computes turns gradients off.
        """
        if self.shards:
            self.shards.call(WHOLE)
            yield self._whole()
            return
        self._swap()
        try:
            with compile.as_written(self.denoiser):
                yield self.denoiser.eval()
        finally:
            self.denoiser.train()
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Have the average stand where the weights do, if one is kept, or back again."""
        for name, average in self.average.items():
            weight = self.learning[name]
            weight.data, self.average[name] = average, weight.data

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """The loss on what is held back, of the subject and of the class: 0 without a prior. It is kept, too."""
        with self.drawing() as denoiser, self.casts:
            losses = [
                # always the first wording: chance would make these losses as incomparable as those of steps
                torch.stack(self.loss(denoiser, batch, material.texts[0]))
                for material in self.subjects
                for batch in material.validation.batches
            ]
        _, instance, prior = torch.stack(losses).mean(0).tolist()
        self.validated[self.taken] = instance, prior
        return instance, prior

    def finish(self) -> Denoiser:
        """What was learned, to be drawn with."""
        if self.shards:
            self.optimizer.state.clear()  # makes room for the whole
            return self._whole()
        self._swap()
        compile.let_go(self.denoiser)
        return self.denoiser.eval().requires_grad_(False)

    def result(self) -> TrainingResult:
        """What came of it."""
        return TrainingResult(self.finish(), self.losses[: self.taken, 0].tolist(), self.validated)

    def _whole(self) -> Denoiser:
        """A copy that is in no shares, with the average where one is kept. A call for all processes."""
        assert self.shards
        return self.shards.whole({**dict(self.denoiser.named_parameters()), **self.average}, self.base.denoiser)

    def join(self, what: bytes) -> None:
        """Give the leader the shares of this process, when it calls for them."""
        assert self.shards
        if what == WHOLE:
            self._whole()
        else:
            self.shards.copied(state_of(self))

    @torch.no_grad()
    def teacher_prediction(self, batch: Batch, text: Text) -> Tensor | None:
        """What the base model, which does not learn, predicts for the class prompt on the rows of the class.

        None where the recipe has no such teacher.
        """
        if self.recipe.prior != "teacher":
            return None
        of_class = slice(batch.instances, None)
        rows = slice(-1, None) if batch.prompts is None else batch.prompts[of_class]
        noisy = self.base.process.add_noise(batch.clean, batch.noise, batch.t)[of_class]
        predicted: Tensor = self.base.denoiser(noisy, batch.t[of_class], rows_of(text, rows))
        return predicted

    def loss(self, model: Any, batch: Batch, text: Text) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 2 of the paper on one batch: loss, instance loss, prior loss.

        With a teacher the prior term is that of Learning without Forgetting (Li and Hoiem 2016, arXiv 1606.09282): the
        squared difference to what the base model predicts.
        """
        # first of all, while no activations are kept for the way back
        taught = self.teacher_prediction(batch, text)
        return self.loss_of(model(*self.inputs(batch, text)), batch, taught)

    def inputs(self, batch: Batch, text: Text) -> tuple[Tensor, Tensor, Text]:
        """What a model predicts from: noisy latents, times, and as many prompts as guide them."""
        noisy = self.base.process.add_noise(batch.clean, batch.noise, batch.t)
        return noisy, batch.t, text if batch.prompts is None else rows_of(text, batch.prompts)

    def loss_of(self, predicted: Tensor, batch: Batch, taught: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of what was predicted; `taught` is what the teacher predicts for the class."""
        process, t = self.base.process, batch.t
        wanted = process.target(batch.clean, batch.noise, t)
        if taught is not None:
            wanted = torch.cat([wanted[: batch.instances], taught])
        weights = process.snr_weights(t, self.recipe.snr_gamma) if self.recipe.snr_gamma else None
        return dreambooth_loss(predicted, wanted, batch.instances, self.recipe.prior_weight, weights, batch.mask)
