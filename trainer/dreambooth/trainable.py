"""What learns in a training, and in which precision."""

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import AutocastKwargs

from storage.contract.recipe import Recipe
from storage.errors import UserError
from trainer.dreambooth.lora import with_adapters
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser


def trainable_of(base: Denoiser, recipe: Recipe, seed: int) -> Denoiser:
    """What learns: a copy of the base model or adapters on it, so that it stays as it is for everybody else."""
    reads = recipe.text_learning_rate > 0
    if recipe.method == "lora":
        learner = with_adapters(base, recipe.rank, recipe.alpha or recipe.rank, reads, seed)
    else:
        learner = base.copy().float().requires_grad_(True)
        for encoder in learner.text_encoders:
            encoder.requires_grad_(reads)
    if recipe.gradient_checkpointing:
        learner.backbone.enable_gradient_checkpointing()
    return learner.train()


def accelerator_of(base: BaseModel, recipe: Recipe) -> Accelerator:
    """Accelerate with the precision of this training; raises UserError where the machine does not have it."""
    precision = base.mixed_precision if recipe.precision == "auto" else recipe.precision
    unread = recipe.text_learning_rate > 0 and base.denoiser.has_idle_layers
    ddp = DistributedDataParallelKwargs(find_unused_parameters=unread, broadcast_buffers=False)
    # a weight that was cast before a graph is captured would stay in it as it was then
    casts = AutocastKwargs(cache_enabled=recipe.compiled != "graphs")
    AcceleratorState._reset_state()  # each training may have a precision of its own
    try:
        return Accelerator(mixed_precision=precision, kwargs_handlers=[ddp, casts])
    except ValueError as error:
        raise UserError(f"The precision {precision} does not work here: {error}.") from error
