"""Which method a machine takes where nobody asks for one, and the ways in which a training may fit its memory."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from storage.contract.jobs import Method
from storage.contract.recipe import Recipe
from storage.settings.trainer import TrainerSettings
from trainer.diffusion.batch_sizes import free_memory_bytes
from trainer.memory.device import HALVES, SPARE, Device, may_shard, this_machine
from trainer.memory.estimate import MemoryEstimate
from trainer.models.base import BaseModel
from trainer.models.default_recipe import default_method, recipe_for
from trainer.models.families import family_of
from trainer.models.meta_model import MetaModel


class MemoryPlan(NamedTuple):
    """One way to run a training, and the memory that it takes."""

    gpus: int  # among which its state is divided
    gentle: bool
    takes_bytes: int


def with_less_memory(recipe: Recipe) -> Recipe:
    """The recipe with micro-batches of one and gradient checkpointing: the result is the same but for rounding."""
    passes = recipe.batch * recipe.accumulation
    return recipe.model_copy(update={"batch": 1, "accumulation": passes, "gradient_checkpointing": True})


def memory_plans(
    needs: MemoryEstimate, here: Device, recipe: Recipe, settings: TrainerSettings
) -> Iterator[MemoryPlan]:
    """The ways in which the engine would try to give a training here, each slower than the one before."""
    kept_in = next(needs.skeleton.denoiser.parameters()).dtype
    half = HALVES.get(recipe.precision, None if kept_in is torch.float32 else kept_in)

    def way(gpus: int, gentle: bool) -> MemoryPlan:
        how = with_less_memory(recipe) if gentle else recipe
        return MemoryPlan(gpus, gentle, here.needs_bytes(needs.training_bytes(how, half, gpus)))

    gpus = settings.gpus_per_training if may_shard(settings.sharding, recipe, settings.gpus_per_training) else 1
    # From quick to slow: who asks takes the first that fits.
    yield way(1, gentle=False)
    if gpus > 1:
        yield way(gpus, gentle=False)
    yield way(gpus, gentle=True)


def method_here(
    folder: Path, needs: Callable[[], MemoryEstimate], here: Device, settings: TrainerSettings
) -> tuple[Method, str]:
    """The method of a training for which nobody has asked for one on this machine, and why it is that.

    The base model decides, and where it does not the memory: full if there is a way to give it. Raises SetupError if
    the file beside the base model names another method.
    """
    method, why = default_method(folder)
    if method:
        return method, why
    has = f"and {here.name} has {in_gb(here.memory_bytes)}"
    for way in memory_plans(needs(), here, recipe_for(folder, method="full"), settings):
        if way.takes_bytes <= here.memory_bytes:
            return "full", f"as it takes {in_gb(way.takes_bytes)}, {has}"
    return "lora", f"as full takes {in_gb(way.takes_bytes)}, {has}"


def estimate_of(folder: Path, dtype: torch.dtype, settings: TrainerSettings) -> MemoryEstimate:
    """What the base model in a folder needs here, kept in such a precision."""
    lora = recipe_for(folder, method="lora") if "lora" in family_of(folder).defaults else None
    return MemoryEstimate(MetaModel.of(folder, dtype), bool(settings.twin_model), lora)


def method_of_engine(base: BaseModel, settings: TrainerSettings) -> Method:
    """The method that an engine uses if nobody asks for one, with its base model loaded."""
    needs = partial(estimate_of, base.folder, base.denoiser.dtype, settings)
    return method_here(base.folder, needs, this_machine(), settings)[0]


def trainings_at_once(base: BaseModel, settings: TrainerSettings) -> int:
    """How many LoRA trainings may be under way at once: as many as the settings say, or as fit beside drawing."""
    most, dtype = settings.trainings_at_once, base.denoiser.dtype
    if settings.gpus_per_training > 1 or settings.tracker_names or "lora" not in base.family.defaults:
        return 1  # a group of engines and a tracker know one training at a time
    if most == 1:
        return 1
    needs, recipe = estimate_of(base.folder, dtype, settings), recipe_for(base.folder, method="lora")
    each_bytes = needs.another_bytes(recipe, None if dtype is torch.float32 else dtype)
    left_bytes = free_memory_bytes(base.device) / SPARE - needs.beside_bytes()
    return max(1, min(most, int(left_bytes / each_bytes)))


def in_gb(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1e9:.1f} GB"
