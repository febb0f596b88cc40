"""Base models as single files, in the original layout, as model makers publish them."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.models.base import BaseModel, load_base
from trainer.models.key_locations import gathered
from trainer.models.stable_diffusion.ldm_keys import places

Weights = dict[str, Tensor]


@cache
def loaded(folder: Path) -> BaseModel:
    """A model that no test changes, neither its files nor its weights: loaded once."""
    return load_base(str(folder))


def write_single(folder: Path, path: Path, dtype: torch.dtype = torch.float32, without: str = "-") -> Path:
    """Write a model as one file in the original layout, with its settings in a folder of the same name beside it."""
    base = loaded(folder)
    weights = {**base.denoiser.state_dict(), **{f"vae.{name}": w for name, w in base.vae.state_dict().items()}}
    named = gathered(weights, places(base.denoiser, base.vae))
    kept = {name: w.to(dtype).contiguous() for name, w in named.items() if not name.startswith(without)}
    save_file(kept, path)
    shutil.copytree(folder, path.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    return path


def changed(written: Path, folder: Path, change: Callable[[Weights], Weights], **metadata: str) -> Path:
    """A copy of the file, with its settings, in which weights are changed."""
    shutil.copytree(written.with_suffix(""), folder / "it")
    save_file({n: w.contiguous() for n, w in change(load_file(written)).items()}, folder / "it.safetensors", metadata)
    return folder / "it.safetensors"


def tell(folder: Path, name: str, **settings: Any) -> None:
    """Change settings in a JSON file of a model."""
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | settings))
