"""Trainings on the micro model, in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from storage.contract.recipe import Recipe
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Step, TrainingResult, learn
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for


def recipe(base: BaseModel, **changes: Any) -> Recipe:
    """The recipe of a base model, with changes."""
    return recipe_for(base.folder, **changes)


def train(
    base: BaseModel,
    photos: list[Path],
    how: Recipe,
    seed: int = 0,
    watch: Callable[[Step], None] = lambda step: None,
    begun: dict[str, Tensor] | None = None,
) -> tuple[TrainingResult, list[Step]]:
    """Learn a dog from photos and a class set of noise; return the result and each step."""
    steps: list[Step] = []
    class_latents = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))

    def on_step(step: Step) -> None:
        steps.append(step)
        watch(step)

    return learn(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents)], how, seed, on_step, begun), steps
