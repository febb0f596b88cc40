"""LoRA files of subjects that nobody learned: random adapters that change pictures clearly."""

from pathlib import Path

import torch

from trainer.dreambooth import lora
from trainer.dreambooth.weights import save_learned
from trainer.models.base import BaseModel


def lora_file(base: BaseModel, path: Path, rank: int, alpha: int, seed: int) -> str:
    """Write one; return its path."""
    learned = lora.with_adapters(base.denoiser, rank, alpha, read=True, seed=seed)
    chance = torch.Generator().manual_seed(seed)
    for layer in lora.adapters(learned).values():
        for up in layer.lora_B.values():
            up.weight.data = torch.randn(up.weight.shape, generator=chance) * 0.05
    save_learned(path, learned, base.denoiser)
    return str(path)
