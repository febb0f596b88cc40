"""What tests of exports and imports share: subjects without a training, and what each of two programs draws of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from storage.contract.conversion import ConversionResult, ExportRequest, ImportRequest
from tests.support.micro_models import write_micro_model, write_micro_sd1, write_micro_sd2, write_micro_sdxl
from trainer.conversion.importer import import_file
from trainer.diffusion import sampling
from trainer.dreambooth import lora
from trainer.models.base import BaseModel, load_base
from trainer.models.denoiser import Denoiser

PLAIN = Path(__file__).parent / "plain_diffusers.py"
MICRO = {"toy": write_micro_model, "sd1": write_micro_sd1, "sd2": write_micro_sd2, "sdxl": write_micro_sdxl}


class MicroBases(dict[str, BaseModel]):
    """A micro model of each architecture, made when it is asked for first."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        super().__init__()
        torch.set_num_threads(1)
        self._folders = folders

    def __missing__(self, name: str) -> BaseModel:
        self[name] = load_base(str(MICRO[name](self._folders.mktemp(name))))
        return self[name]


def change(denoiser: Denoiser) -> Denoiser:
    """A copy in which every weight is a little other than it was, as after a full training."""
    learned, chance = denoiser.copy(), torch.Generator().manual_seed(5)
    for weight in learned.parameters():
        size = weight.detach().abs().mean().clamp(min=0.01)
        weight.data += 0.2 * size * torch.randn(weight.shape, generator=chance)
    return learned


def adapt(denoiser: Denoiser, alpha: int = 2) -> Denoiser:
    """The same with adapters of rank 4."""
    learned, chance = lora.with_adapters(denoiser, rank=4, alpha=alpha, read=True, seed=0), torch.Generator()
    for name, weight in learned.named_parameters():
        if "lora_B" in name:
            weight.data += 0.3 * torch.randn(weight.shape, generator=chance.manual_seed(6))
    return learned


def export_of(base: BaseModel, weights: Path, folder: Path, how: str, **more: Any) -> ExportRequest:
    """A request to write weights into a new folder."""
    folder.mkdir(parents=True)
    about = {"name": "rex", "noun": "dog", "identifier": "zuf", "base_model": str(base.folder)}
    return ExportRequest(**about, weights=str(weights), folder=str(folder), format=how, **more)


def bring(base: BaseModel, file: Path, out: Path) -> ConversionResult:
    """Import a file as weights on this base model."""
    return import_file(ImportRequest(base_model=str(base.folder), file=str(file), weights=str(out)), lambda what: None)


def drawn(base: BaseModel, denoiser: Denoiser) -> Tensor:
    """Latents and picture as Darkroom draws them."""
    how = {"steps": 4, "guidance": 5.0, "negative": "fog", "scheduler": "ddim"}
    latents = sampling.sample_latents(base, denoiser, "a zuf dog", [3], **how)
    image = base.vae.decode(latents / base.vae.config.scaling_factor).sample
    return torch.cat([latents.flatten(), image.flatten()])


def order(name: str, how: str, file: Path, base: BaseModel) -> dict[str, Any]:
    """Have plain diffusers draw the same from a file; `how` is what kind of file it is."""
    px, two = base.image_px, base.denoiser.text_encoder_2 is not None
    what = {"name": name, "how": how, "file": str(file), "base": str(base.folder), "xl": two}
    return {**what, "image_px": px, "latent_px": px // base.latent_px}


def drawn_plainly(orders: list[dict[str, Any]], folder: Path, **environment: str) -> dict[str, Tensor]:
    """What plain diffusers draws in a process of its own, by the orders' names."""
    (folder / "orders").write_text(json.dumps(orders))
    command = [sys.executable, PLAIN, folder / "orders", folder / "drawn"]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Tensor] = torch.load(folder / "drawn", weights_only=True)
    return found
