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


def subject_files(base: BaseModel, folder: Path) -> list[str]:
    """Write three LoRA of different ranks and scales, and one subject of a full training; return their paths."""
    files = [lora_file(base, folder / f"{k}.safetensors", rank=2 + 3 * k, alpha=4, seed=k) for k in range(3)]
    full, path = base.denoiser.copy(), folder / "full.safetensors"
    with torch.no_grad():
        for weight in full.parameters():
            weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(9)))
    save_learned(path, full, base.denoiser)
    return [*files, str(path)]
