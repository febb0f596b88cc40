"""The optimizer of a training: AdamW with a learning rate for each network, and one for the words themselves."""

from collections.abc import Iterable
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from storage.contract.recipe import Recipe
from storage.errors import UserError
from trainer.dreambooth.fsdp import whole
from trainer.models.denoiser import Denoiser


def optimizer_of(denoiser: Denoiser, recipe: Recipe) -> torch.optim.Optimizer:
    """Optimize what of the denoiser is to learn; raises UserError where the kind of optimizer is not installed."""
    groups: list[dict[str, Any]] = [
        {"name": denoiser.backbone_part, "params": _learning(denoiser.backbone), "lr": recipe.learning_rate}
    ]
    words = [w for e in denoiser.text_encoders for w in _learning(e.get_input_embeddings())]
    # By identity: tensors compare element by element.
    layers = [p for e in denoiser.text_encoders for p in _learning(e) if all(p is not w for w in words)]
    if layers:
        groups.append({"name": "text_encoders", "params": layers, "lr": recipe.text_learning_rate})
    if words:
        # no decay: most words are in no prompt of the training and must stay as they are
        rate = recipe.word_learning_rate or recipe.text_learning_rate
        groups.append({"name": "words", "params": words, "lr": rate, "weight_decay": 0.0})
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UserError("For adamw8bit a worker needs `pip install bitsandbytes==0.50.2`.") from error
    kind: torch.optim.Optimizer = AdamW8bit(groups, weight_decay=recipe.weight_decay)
    return kind


def clip(optimizer: Any, weights: Iterable[torch.nn.Parameter], most: float) -> None:
    """Keep the norm of the gradient of all `weights` to at most `most` at the optimizer's next step.

    Fused AdamW divides each gradient while it reads it anyway, which saves reading and writing all of them once more.
    """
    learning = [w for w in weights if w.grad is not None]
    norm = whole(get_total_norm([w.grad for w in learning if w.grad is not None]))
    if isinstance(optimizer, torch.optim.AdamW):
        # norm ÷ most where that exceeds 1, as a tensor: to compare on the host would wait for the device.
        optimizer.grad_scale = (norm / most).clamp(min=1)  # type: ignore[attr-defined]
    else:
        clip_grads_with_norm_(learning, most, norm)


def schedule_of(optimizer: torch.optim.Optimizer, recipe: Recipe) -> Any:
    """How the learning rates rise and fall over the steps."""
    kind = "constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule
    return get_scheduler(kind, optimizer, num_warmup_steps=recipe.warmup_steps, num_training_steps=recipe.steps)


def _learning(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]
