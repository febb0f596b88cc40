"""Base models as single files, in the original layout, as model makers publish them."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from trainer.models.base import load_base
from trainer.models.key_locations import gathered
from trainer.models.stable_diffusion.ldm_keys import places


def write_single(folder: Path, path: Path, dtype: torch.dtype = torch.float32, without: str = "-") -> Path:
    """Write a model as one file in the original layout, with its settings in a folder of the same name beside it."""
    base = load_base(str(folder))
    weights = {**base.denoiser.state_dict(), **{f"vae.{name}": w for name, w in base.vae.state_dict().items()}}
    named = gathered(weights, places(base.denoiser, base.vae))
    kept = {name: w.to(dtype).contiguous() for name, w in named.items() if not name.startswith(without)}
    save_file(kept, path)
    shutil.copytree(folder, path.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    return path
