"""Estimates of the memory that a base model needs, from its settings alone, before it is loaded.

What is held is counted, and what a step or a picture takes besides is rehearsed.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from storage.contract.recipe import Recipe
from trainer.diffusion.batch_sizes import SHARED
from trainer.diffusion.latents import at_once
from trainer.diffusion.sampling import BATCH
from trainer.dreambooth.trainable import trainable_of
from trainer.memory.meta_run import Shortcuts, peak_bytes
from trainer.models.meta_model import MetaModel
from trainer.models.offload import OffloadedBlock

MOMENTS_BYTES = {"adamw": 8, "adamw8bit": 2}  # of each weight that learns


class _Training(NamedTuple):
    """What a training takes beside the base model."""

    weight_bytes: int
    moment_bytes: int
    gradient_bytes: int  # of all weights
    peak_bytes: int  # of a step, gradients among it

    @property
    def state_bytes(self) -> int:
        """What it holds between two steps."""
        return self.weight_bytes + self.moment_bytes


@dataclass(frozen=True)
class MemoryEstimate:
    """What a base model needs to draw and to train."""

    skeleton: MetaModel
    has_twin: bool = False  # whose network that predicts is held besides
    lora: Recipe | None = None  # of subjects whose adapters are at hand, as many as share a pass

    def with_offload(self, offload: str) -> "MemoryEstimate":
        """The same with another part of the base model in the machine's memory."""
        placement = self.skeleton.base.placement
        if offload == placement.offload:
            return self
        if offload not in self._otherwise:
            skeleton = MetaModel.of(self.skeleton.base.folder, placement.dtype, placement.weights, offload)
            self._otherwise[offload] = MemoryEstimate(skeleton, self.has_twin, self.lora)
        return self._otherwise[offload]

    @cached_property
    def _otherwise(self) -> dict[str, "MemoryEstimate"]:
        return {}

    def drawing_bytes(self) -> int:
        """Memory to draw with a subject's weights beside the base model's."""
        return self._held_bytes() + self._pictures_bytes

    def beside_bytes(self) -> int:
        """The part of that which is not there yet when the base model is loaded."""
        return self.drawing_bytes() - self._loaded_bytes()

    def training_bytes(self, recipe: Recipe, half: torch.dtype | None, shares: int = 1) -> int:
        """Memory to train, while pictures are drawn between two steps; `half` is the step's mixed precision.

        With several `shares`, that of the GPU which draws: it keeps one of them, and all weights while it draws. Blocks
        that are gathered for their turn are not counted, being small.
        """
        trained = self._training(recipe, half, shares > 1)
        # The worse of the two: a picture may be drawn between two steps, never during one.
        if shares == 1:
            return self._held_bytes() + trained.state_bytes + max(trained.peak_bytes, self._pictures_bytes)
        state = trained.state_bytes + trained.gradient_bytes
        return (
            self._held_bytes() + state // shares + max(trained.peak_bytes, trained.weight_bytes + self._pictures_bytes)
        )

    def another_bytes(self, recipe: Recipe, half: torch.dtype | None) -> int:
        """Memory that each further training takes which shares the base model's weights, and steps with others."""
        trained = self._training(recipe, half, shares=False)
        return trained.state_bytes + trained.peak_bytes

    def _training(self, recipe: Recipe, half: torch.dtype | None, shares: bool) -> "_Training":
        """What a training takes for itself; with `shares` a gradient is gone as soon as it is there."""
        key = recipe, half, shares
        if key not in self._rehearsed:
            self._rehearsed[key] = self._rehearse(*key)
        return self._rehearsed[key]

    @cached_property
    def _rehearsed(self) -> dict[tuple[Recipe, torch.dtype | None, bool], "_Training"]:
        return {}

    def _rehearse(self, recipe: Recipe, half: torch.dtype | None, shares: bool) -> "_Training":
        learner = trainable_of(self.skeleton.denoiser, recipe, seed=0)
        if recipe.gradient_checkpointing:  # what is computed again is to be computed in the same way
            same = partial(checkpoint, use_reentrant=False, context_fn=lambda: (nullcontext(), Shortcuts(half)))
            learner.backbone.enable_gradient_checkpointing(same)
        # LoRA shares the base model's weights; only what it adds is counted here.
        ours = {id(weight) for weight in self.skeleton.denoiser.parameters()}
        weights = _bytes(weight for weight in learner.parameters() if id(weight) not in ours)
        learning = [weight for weight in learner.parameters() if weight.requires_grad]
        moments = MOMENTS_BYTES[recipe.optimizer] * sum(weight.numel() for weight in learning)
        kinds = 1 if recipe.prior == "none" else 2

        def step() -> None:
            if recipe.prior == "teacher":  # the base model itself, so of its weights there are no more
                with torch.no_grad():
                    self.skeleton.denoiser(*self._noisy(recipe.batch), self._ids(1))
            learner(*self._noisy(kinds * recipe.batch), self._ids(kinds)).square().mean().backward()

        if shares:
            for weight in learning:  # its gradient is shared out at once
                weight.register_post_accumulate_grad_hook(_let_go)  # type: ignore[no-untyped-call]
        return _Training(weights, moments, _bytes(learning), peak_bytes(step, half))

    def _held_bytes(self) -> int:
        """The base model, a copy to draw with a subject of a full training where that may be, and adapters."""
        base = self.skeleton.base
        copied = base.denoiser.copy().parameters() if base.learns_in_full else ()
        return self._loaded_bytes(*copied) + self._adapters_bytes

    def _loaded_bytes(self, *more: Tensor) -> int:
        """The base model and its twin's network, with what `more` does not share with them."""
        base = self.skeleton.base
        held = (*base.denoiser.parameters(), *(weight for _, weight in base.weights()), *more)
        twin = self._on_device(base.denoiser.backbone.parameters()) if self.has_twin else 0
        return twin + self._on_device({id(weight): weight for weight in held}.values()) + self._block_bytes

    def host_bytes(self) -> int:
        """What lies in the machine's memory until it is needed, with what is lost between weights there."""
        networks = [self.skeleton.denoiser, *[self.skeleton.denoiser.backbone] * self.has_twin]
        blocks = [self._offloaded(network) for network in networks]
        return sum(host.size_bytes for each in blocks for host in {block.host for block in each})

    @cached_property
    def _block_bytes(self) -> int:
        """What stays on the device of offloaded networks: the block that is expected next, of each."""
        networks = (self.skeleton.base.parts[name] for name in self.skeleton.base.parts)
        return sum(max((_bytes(block.parameters()) for block in self._offloaded(each)), default=0) for each in networks)

    def _on_device(self, weights: Iterable[Tensor]) -> int:
        beside = {id(weight) for block in self._offloaded(self.skeleton.denoiser) for weight in block.parameters()}
        return _bytes(weight for weight in weights if id(weight) not in beside)

    @staticmethod
    def _offloaded(network: nn.Module) -> list[Any]:
        return [module for module in network.modules() if isinstance(module, OffloadedBlock)]

    @cached_property
    def _adapters_bytes(self) -> int:
        """Adapters of as many subjects as share a pass, of each network that draws: resident, and stacked by row."""
        if not self.lora:
            return 0
        learner, ours = trainable_of(self.skeleton.denoiser, self.lora, seed=0), self.skeleton.denoiser.parameters()
        shared = {id(weight) for weight in ours}
        numbers = sum(weight.numel() for weight in learner.parameters() if id(weight) not in shared)
        return 2 * (1 + self.has_twin) * SHARED * numbers * self.skeleton.denoiser.dtype.itemsize

    @cached_property
    def _pictures_bytes(self) -> int:
        """What drawing takes for itself."""
        noisy = self._noisy(2 * BATCH)
        decoded = noisy[0][: at_once(self.skeleton.base.image_px)]
        with torch.no_grad():
            drawing = peak_bytes(lambda: self.skeleton.denoiser(*noisy, self._ids(2)), None)
            return max(drawing, peak_bytes(lambda: self.skeleton.base.decode(decoded), None))

    def _noisy(self, rows: int) -> tuple[Tensor, Tensor]:
        with torch.device("meta"):
            noisy = torch.empty(rows, *self.skeleton.base.latent_shape())
            return noisy, torch.empty(rows, dtype=torch.long)

    def _ids(self, prompts: int) -> list[Tensor]:
        return self.skeleton.denoiser.empty_ids(prompts, "meta")


def _let_go(weight: Tensor) -> None:
    weight.grad = None


def _bytes(weights: Any) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights)
