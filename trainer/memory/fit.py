"""Which method a machine takes where nobody asks for one, and the ways in which a training may fit its memory."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from storage.contract.jobs import Method
from storage.contract.recipe import Recipe
from storage.errors import SetupError, UserError
from storage.settings.trainer import BaseWeights, TrainerSettings
from trainer.diffusion.batch_sizes import free_memory_bytes
from trainer.memory.device import HALVES, SPARE, Device, may_shard, this_machine
from trainer.memory.estimate import MemoryEstimate
from trainer.models.base import BaseModel, dtype_for, models_folder
from trainer.models.default_recipe import default_method, recipe_for
from trainer.models.families import family_of
from trainer.models.meta_model import MetaModel
from trainer.models.placement import OFFLOADS, Placement
from trainer.models.sources import find

TOO_LITTLE = "That is too little for this base model: take a smaller one"
WAYS = {"plain": ", or DARKROOM_BASE_WEIGHTS=int8", "int8": "", "float8": ""}


class MemoryPlan(NamedTuple):
    """One way to run a training, and the memory that it takes."""

    gpus: int  # among which its state is divided
    gentle: bool
    takes_bytes: int
    offload: str = "none"


def with_less_memory(recipe: Recipe) -> Recipe:
    """The recipe with micro-batches of one and gradient checkpointing: the result is the same but for rounding."""
    passes = recipe.batch * recipe.accumulation
    return recipe.model_copy(update={"batch": 1, "accumulation": passes, "gradient_checkpointing": True})


def offloads_here(here: Device, settings: TrainerSettings) -> tuple[str, ...]:
    """What may lie in the machine's memory until it is needed, the quickest first; raises SetupError."""
    if settings.offload in ("text", "blocks") and settings.gpus_per_training > 1:
        raise SetupError(
            f"DARKROOM_OFFLOAD={settings.offload} is not for several GPUs per training: set it to none, or "
            "DARKROOM_GPUS_PER_TRAINING to 1."
        )
    if settings.offload != "auto":
        return (settings.offload,)
    return OFFLOADS if here.device.type == "cuda" and settings.gpus_per_training == 1 else ("none",)


def memory_plans(
    needs: MemoryEstimate, here: Device, recipe: Recipe, settings: TrainerSettings
) -> Iterator[MemoryPlan]:
    """The ways in which the engine would try to give a training here, each slower than the one before."""
    half = half_of(recipe, needs)

    def way(gpus: int, gentle: bool, offload: str = "none") -> MemoryPlan:
        how = with_less_memory(recipe) if gentle else recipe
        takes = needs.with_offload(offload).training_bytes(how, half, gpus)
        return MemoryPlan(gpus, gentle, here.needs_bytes(takes), offload)

    # From quick to slow: who asks takes the first that fits.
    if recipe.method == "lora":
        offloads = offloads_here(here, settings)
        # Without gradient checkpointing autograd would keep each block that was brought.
        ways = [(False, offload) for offload in offloads if offload != "blocks"]
        ways += [(True, offload) for offload in offloads]
        if needs.skeleton.base.learns_in_full:  # then subjects of full trainings are to be drawn as well
            ways.sort(key=lambda each: each[1] != "none")
        yield from (way(1, gentle, offload) for gentle, offload in ways)
        return
    gpus = settings.gpus_per_training if may_shard(settings.sharding, recipe, settings.gpus_per_training) else 1
    yield way(1, gentle=False)
    if gpus > 1:
        yield way(gpus, gentle=False)
    yield way(gpus, gentle=True)


def half_of(recipe: Recipe, needs: MemoryEstimate) -> torch.dtype | None:
    """The mixed precision of a training's steps; None for none."""
    kept_in = needs.skeleton.denoiser.dtype
    return HALVES.get(recipe.precision, None if kept_in is torch.float32 else kept_in)


def method_here(
    folder: Path, needs: Callable[[], MemoryEstimate], here: Device, settings: TrainerSettings
) -> tuple[Method, str]:
    """The method of a training for which nobody has asked for one on this machine, and why it is that.

    The base model decides, and where it does not the memory: full if there is a way to give it. Raises SetupError if
    the file beside the base model names another method.
    """
    method, why = default_method(folder)
    if method == "lora":
        return method, why
    if settings.base_weights != "plain":
        return "lora", f"as the base model is kept in {settings.base_weights}"
    if settings.offload in ("text", "blocks"):
        return "lora", f"as the base model is offloaded (DARKROOM_OFFLOAD={settings.offload})"
    if method:
        return method, why
    has = f"and {here.name} has {in_gb(here.memory_bytes)}"
    for way in memory_plans(needs(), here, recipe_for(folder, method="full"), settings):
        if way.takes_bytes <= here.memory_bytes:
            return "full", f"as it takes {in_gb(way.takes_bytes)}, {has}"
    return "lora", f"as full takes {in_gb(way.takes_bytes)}, {has}"


def estimate_of(folder: Path, dtype: torch.dtype, settings: TrainerSettings, offload: str = "none") -> MemoryEstimate:
    """What the base model in a folder needs here, kept in such a precision and with such an offload."""
    return _estimate(folder, dtype, settings.base_weights, bool(settings.twin_model), offload)


def _estimate(folder: Path, dtype: torch.dtype, weights: BaseWeights, has_twin: bool, offload: str) -> MemoryEstimate:
    lora = recipe_for(folder, method="lora") if "lora" in family_of(folder).defaults else None
    return MemoryEstimate(MetaModel.of(folder, dtype, weights, offload), has_twin, lora)


def offload_here(folder: Path, needs: MemoryEstimate, here: Device, settings: TrainerSettings) -> str:
    """What of the base model an engine leaves in the machine's memory: as little as training and drawing allow.

    Raises SetupError where there is not even memory to draw.
    """
    offloads = offloads_here(here, settings)
    if len(offloads) == 1:
        return offloads[0]
    method, _ = method_here(folder, lambda: needs, here, settings)
    plans = memory_plans(needs, here, recipe_for(folder, method=method), settings)
    if fitting := next((plan for plan in plans if plan.takes_bytes <= here.memory_bytes), None):
        return _with_host_memory(fitting.offload, needs)
    for offload in offloads:  # it can draw at least
        drawing = here.needs_bytes(needs.with_offload(offload).drawing_bytes())
        if drawing <= here.memory_bytes:
            return _with_host_memory(offload, needs)
    raise SetupError(
        f"Drawing takes {in_gb(drawing)}, and {here.name} has {in_gb(here.memory_bytes)}. "
        f"{TOO_LITTLE}{WAYS[settings.base_weights]}."
    )


def _with_host_memory(offload: str, needs: MemoryEstimate) -> str:
    """`offload`, if the machine has memory for it; raises SetupError if not."""
    beside, has = needs.with_offload(offload).host_bytes(), psutil.virtual_memory().total
    if beside > has:
        raise SetupError(
            f"The GPU has too little memory for this base model, and {in_gb(beside)} of it do not fit into the "
            f"machine's, which has {in_gb(has)}. Take a smaller one, or DARKROOM_BASE_WEIGHTS=int8."
        )
    return offload


def offload_of_engine(base_model: str, settings: TrainerSettings) -> str:
    """The same for a base model that is still to be loaded on this machine; raises SetupError."""
    here = this_machine()
    if len(offloads := offloads_here(here, settings)) == 1:
        return offloads[0]
    dtype = dtype_for(settings.precision, here.device)
    source = find(base_model, models_folder(settings.home), dtype is not torch.float32, weights=False)
    return offload_here(source.folder, estimate_of(source.folder, dtype, settings), here, settings)


def must_go_gently(recipe: Recipe, needs: MemoryEstimate, here: Device, gpus: int = 1) -> bool:
    """Whether a training fits only with less memory; raises UserError, with figures, where it does not fit at all."""
    half, offloads = half_of(recipe, needs), needs.skeleton.base.placement.offload
    for gentle in (True,) if offloads == "blocks" else (False, True):
        how = with_less_memory(recipe) if gentle else recipe
        takes = here.needs_bytes(needs.training_bytes(how, half, gpus))
        if takes <= here.memory_bytes:
            return gentle
    raise UserError(
        f"There is too little memory to learn this, even one example at a time: it would take {in_gb(takes)}, and "
        f"{here.name} has {in_gb(here.memory_bytes)}. A lower rank may do; whoever runs me may set "
        "DARKROOM_BASE_WEIGHTS=int8, choose the method lora or a smaller base model, or give me a larger GPU."
    )


def estimate_of_engine(base: BaseModel, settings: TrainerSettings) -> MemoryEstimate:
    """The same of the base model that an engine has loaded: made once, as every training asks for it."""
    return _estimate_of_loaded(base.folder, base.placement, bool(settings.twin_model))


@lru_cache(maxsize=1)
def _estimate_of_loaded(folder: Path, placement: Placement, has_twin: bool) -> MemoryEstimate:
    return _estimate(folder, placement.dtype, placement.weights, has_twin, placement.offload)


def method_of_engine(base: BaseModel, settings: TrainerSettings) -> Method:
    """The method that an engine uses if nobody asks for one, with its base model loaded."""
    if not base.placement.is_plain:
        return "lora"
    needs = partial(estimate_of, base.folder, base.denoiser.dtype, settings)
    return method_here(base.folder, needs, this_machine(), settings)[0]


def trainings_at_once(base: BaseModel, settings: TrainerSettings) -> int:
    """How many LoRA trainings may be under way at once: as many as the settings say, or as fit beside drawing."""
    most, dtype = settings.trainings_at_once, base.denoiser.dtype
    if settings.gpus_per_training > 1 or settings.tracker_names or "lora" not in base.family.defaults:
        return 1  # a group of engines and a tracker know one training at a time
    if most == 1 or base.placement.offload == "blocks":
        return 1
    needs, recipe = estimate_of_engine(base, settings), recipe_for(base.folder, method="lora")
    each_bytes = needs.another_bytes(recipe, None if dtype is torch.float32 else dtype)
    left_bytes = free_memory_bytes(base.device) / SPARE - needs.beside_bytes()
    return max(1, min(most, int(left_bytes / each_bytes)))


def in_gb(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1e9:.1f} GB"
