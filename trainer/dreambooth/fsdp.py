"""Fully sharded training (FSDP; Zhao et al. 2023, arXiv 2304.11277), for models whose training no single GPU can hold.

Each of n processes keeps an n-th of the weights that learn, of their gradients, average and the optimizer's moments.
PyTorch's `fully_shard` gathers the weights of a block when its turn comes, forward and backward, and leaves to each
process its share of the gradient. So a share is a `DTensor`, and stands for the whole weight wherever PyTorch computes.
Accelerate's plugin for this is left aside: it does nothing on the CPU, where it could not be tested.
"""

import logging
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from trainer.models.denoiser import Denoiser

log = logging.getLogger(__name__)

WHOLE, STATE = b"whole", b"state"  # what the leader gathers


class Shards:
    """How the processes of one training divide what it holds, and put it together again.

    To put it together takes all of them: the leader has the others called, and keeps what comes of it.
    """

    def __init__(self, call: Callable[[bytes], None]) -> None:
        """`call` has the others `Training.join` the leader in what it is about to gather."""
        self.call, self.leads = call, dist.get_rank() == 0

    @staticmethod
    def divide(denoiser: Denoiser) -> None:
        """Keep but this process's share of each weight, in place.

        Weights stay in full precision when they are gathered, and autocast computes as it does without shards.
        """
        device = next(denoiser.parameters()).device
        mesh = init_device_mesh(device.type, (dist.get_world_size(),))
        for block in [module for module in denoiser.modules() if isinstance(module, denoiser.block_kinds)]:
            fully_shard(block, mesh=mesh)
        fully_shard(denoiser, mesh=mesh)
        local_count = sum(weight.to_local().numel() for weight in denoiser.parameters() if isinstance(weight, DTensor))
        log.info(
            "each GPU keeps a share: %d of %d weights here", local_count, sum(w.numel() for w in denoiser.parameters())
        )

    def whole(self, weights: dict[str, Tensor], base: Denoiser) -> Denoiser:
        """A copy of `base` with these weights, whole, on the leader; `base` on the others. A call for all."""
        copy = base.copy().float() if self.leads else base
        parameters = dict(copy.named_parameters())
        with torch.no_grad():
            for name, weight in weights.items():
                gathered = whole(weight)
                if self.leads:
                    parameters[name].copy_(gathered)
        return copy

    def copied(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gather whole tensors on the leader's CPU; nothing on the others. A collective: all have to call it."""
        tensors = {}
        for name, tensor in state.items():  # one at a time: no GPU has room for all
            gathered = whole(tensor)
            if self.leads:
                tensors[name] = on_cpu(gathered)
        return tensors


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor of which this may be a share; then a call for all processes."""
    gathered: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return gathered


def share(tensor: Tensor, like: Tensor) -> Tensor:
    """The share that this process keeps of a whole tensor, divided as `like` is; all of it, if that is not.

    It lies in memory as `like` does, since fused AdamW goes through a weight and its state side by side.
    """
    if tensor.shape != like.shape:
        return tensor
    if not isinstance(like, DTensor):
        return torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
    tensor = tensor.to(like.device, like.dtype)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def on_cpu(tensor: Tensor) -> Tensor:
    """A contiguous copy in the memory of the machine."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
