"""The precision of a forward pass: bfloat16 for wide ones on a CPU that multiplies it, that of the weights otherwise.

A CPU with such instructions draws sixteen pictures in 0.7 of the time in bfloat16 (docs/benchmarks.md, “Serving”). The
weights stay as they are; what is multiplied is rounded for the pass.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from storage.settings.trainer import Precision
from trainer.models.base import BaseModel

INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of Intel and AMD, and of ARM
WIDE = 2048  # rows × pixels of a latent, from which bfloat16 is quicker: eight rows of Toyworld, one of 512 px
# Fixed rather than measured at each start, as a seed promises the same bits in batches of the same shape.


def may_use_bfloat16(precision: Precision, base: BaseModel) -> bool:
    """Whether wide passes of a base model are computed in bfloat16: by `auto`, where the CPU has the instructions."""
    if precision != "auto" or base.device.type != "cpu" or base.denoiser.dtype != torch.float32:
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in INSTRUCTIONS)


def is_wide(latents: Tensor) -> bool:
    """Whether a pass over latents, rows × c × h × w, gains by bfloat16."""
    return len(latents) * latents[0, 0].numel() >= WIDE


def autocast_bfloat16(in_bfloat16: bool) -> AbstractContextManager[object]:
    """Compute a pass on the CPU in bfloat16, or as the weights are."""
    return torch.autocast("cpu", torch.bfloat16) if in_bfloat16 else nullcontext()
