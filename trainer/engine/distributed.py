"""Engines that train one subject together, each with a GPU of its own: processes of one host, started by torchrun.

The first of them, the leader, is the engine that the worker talks to. The others wait for trainings, and take each step
with it. What they tell each other travels as bytes, over a group of its own: they may wait for days for a training.
"""

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import PartialState

from storage.contract.recipe import Recipe
from storage.errors import SetupError
from storage.parent_death import die_with_parent

FOR_EVER = timedelta(days=3650)
GO_ON, ENOUGH, STOP = b"go on", b"enough", b"stop"


class EngineGroup:
    """The engines of one worker, as each of them sees it; mostly there is but one."""

    def __init__(self) -> None:
        state = PartialState(cpu=not torch.cuda.is_available())
        self.size: int = state.num_processes
        self.rank: int = state.process_index
        if self.size > 1:
            die_with_parent()  # torchrun ends those that it started, but not where it is killed itself
        # On the CPU: NCCL would keep a GPU busy for as long as it waits.
        self._group = dist.new_group(backend="gloo", timeout=FOR_EVER) if self.size > 1 else None

    @property
    def leads(self) -> bool:
        """Whether this is the engine that the worker talks to."""
        return self.rank == 0

    def check(self, recipe: Recipe) -> None:
        """Raise SetupError if the examples of a step cannot be shared out."""
        if recipe.batch * recipe.accumulation % self.size:
            raise SetupError(
                f"{self.size} GPUs cannot share a step: the recipe of this base model for the method {recipe.method} "
                f"has batch {recipe.batch} × accumulation {recipe.accumulation}, which is no multiple of {self.size}. "
                "Change it in the model's darkroom.json, or DARKROOM_GPUS_PER_TRAINING."
            )

    def tell(self, what: bytes) -> None:
        """Tell the others; they must be waiting for it, or come to that."""
        if self._group:
            # A broadcast needs equal shapes on both sides, so the length goes ahead.
            self._pass_on(torch.tensor([len(what)]))
            self._pass_on(torch.frombuffer(bytearray(what), dtype=torch.uint8))

    def hear(self) -> bytes:
        """Wait until the leader tells something."""
        length = torch.zeros(1, dtype=torch.long)
        self._pass_on(length)
        what = torch.zeros(int(length), dtype=torch.uint8)
        self._pass_on(what)
        return bytes(what.tolist())

    def give_up(self) -> None:
        """End this process, and so all: the others wait in the middle of a step for what will not come."""
        if self.size > 1:
            os._exit(1)

    def _pass_on(self, tensor: torch.Tensor) -> None:
        dist.broadcast(tensor, 0, group=self._group)
