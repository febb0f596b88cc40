"""What the trainer computes on, and whether a training's state must be divided among several GPUs to fit."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from storage.contract.recipe import Recipe
from storage.settings.trainer import Sharding
from trainer.memory.estimate import MemoryEstimate
from trainer.models.base import BaseModel
from trainer.models.meta_model import MetaModel

LIBRARIES_BYTES = 2**30  # what CUDA and its libraries take for themselves
SPARE = 1.1  # what allocators lose between tensors
HALVES = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Device(NamedTuple):
    """What the trainer computes on."""

    name: str
    memory_bytes: int
    device: torch.device

    def needs_bytes(self, tensors_bytes: int) -> int:
        """Memory that must be there for so many bytes of tensors."""
        return round(tensors_bytes * SPARE) + (LIBRARIES_BYTES if self.device.type == "cuda" else 0)


def this_machine() -> Device:
    """The GPU of this process, or the machine if there is none."""
    if not torch.cuda.is_available():
        return Device("this machine", psutil.virtual_memory().total, torch.device("cpu"))
    return Device(torch.cuda.get_device_name(), torch.cuda.mem_get_info()[1], torch.device("cuda"))


def may_shard(how: Sharding, recipe: Recipe, gpus: int) -> bool:
    """Whether GPUs may keep a share of a training each: LoRA has little to divide, bitsandbytes cannot."""
    return gpus > 1 and how != "none" and recipe.method == "full" and recipe.optimizer == "adamw"


def must_shard(how: Sharding, recipe: Recipe, base: BaseModel, gpus: int, gentle: bool) -> bool:
    """Whether they are to: always if `how` says so, else where each has not the memory for all of it, or had not."""
    if not may_shard(how, recipe, gpus):
        return False
    # A training that ran out of memory before is sharded the next time, whatever the estimate says.
    if how == "full" or gentle:
        return True
    here, dtype = this_machine(), base.denoiser.dtype
    precision = base.mixed_precision if recipe.precision == "auto" else recipe.precision
    return here.needs_bytes(_takes_bytes(base.folder, dtype, recipe, precision)) > here.memory_bytes


@cache
def _takes_bytes(folder: Path, dtype: torch.dtype, recipe: Recipe, precision: str) -> int:
    """Memory of each GPU that keeps all of a training."""
    return MemoryEstimate(MetaModel.of(folder, dtype)).training_bytes(recipe, HALVES[precision])
