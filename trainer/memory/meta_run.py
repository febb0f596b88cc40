"""Rehearse tensor work without doing it, to learn how much memory it would take.

On PyTorch's meta device tensors have shapes and no content. Networks run on it as they would anywhere, forward and
backward, while a tally is kept of what would be in memory at once. What kernels take for themselves is not seen.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (everybody calls it so)
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map


def peak_bytes(rehearsal: Callable[[], object], half: torch.dtype | None) -> int:
    """How much memory what `rehearsal` makes would take at the worst moment."""
    tally = _MemoryTally()
    with tally, Shortcuts(half):
        rehearsal()
    return tally.most


class _MemoryTally(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's modes have no types
    """Counts the bytes of all tensors that are made and not yet gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most = 0, 0
        self._seen: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_iter((args, kwargs)):
            self._count(tensor, 0)  # what was there before, like the weights, is counted elsewhere
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            self._count(tensor, 1)
        return made

    def _count(self, tensor: object, times: int) -> None:
        if not isinstance(tensor, Tensor):
            return
        # Views share a storage, which counts once, and lives until the last of them is gone.
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._seen:
            self._seen[key] = times * storage.nbytes()
            weakref.finalize(storage, self._gone, key)
            self.now += self._seen[key]
            self.most = max(self.most, self.now)

    def _gone(self, key: int) -> None:
        self.now -= self._seen.pop(key)


class Shortcuts(TorchFunctionMode):
    """What PyTorch does on a real device and not on this one: attention without a matrix of scores, and autocast."""

    HALVED, WHOLE = (F.linear, F.conv2d), (F.layer_norm, F.group_norm)

    def __init__(self, half: torch.dtype | None) -> None:
        super().__init__()
        self.half = half

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # On this device attention would be computed step by step, with a matrix of scores that no real kernel keeps.
        attends = func is F.scaled_dot_product_attention
        if self.half and (attends or func in self.HALVED):
            args, kwargs = _cast((args, kwargs), self.half)
        elif self.half and func in self.WHOLE:
            args, kwargs = _cast((args, kwargs), torch.float32)
        if attends:
            query, key, value = (*args, *(kwargs[name] for name in ("query", "key", "value")[len(args) :]))[:3]
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]
        return func(*args, **(kwargs or {}))


def _cast(tree: Any, dtype: torch.dtype) -> Any:
    def cast(leaf: Any) -> Any:
        return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    return tree_map(cast, tree)
