"""Quicker steps on a GPU: blocks that are compiled, and passes that are replayed as CUDA graphs.

A step of a small batch is thousands of small kernels, and to start them takes Python longer than to compute them takes
the GPU. Compiling makes them fewer; a CUDA graph has the GPU start all of them by itself.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models.denoiser import Denoiser, Text, TextEmbeddings
from trainer.out_of_memory import is_out_of_memory

log = logging.getLogger(__name__)

VARIANTS = 64  # of a block that one process may compile: widths, sizes, methods, ranks. All blocks share one limit
GRAPHS = 2  # that one training keeps, since each holds gradients and activations of its own; sizes beyond go without
CAPTURING = ("cuda",)  # devices that have such graphs


def compile_blocks(denoiser: Denoiser) -> None:
    """Compile the network's blocks, kind by kind; later trainings of this process reuse the compiled code."""
    torch._dynamo.config.suppress_errors = True  # what cannot be compiled here runs as it is, with a warning
    torch._dynamo.config.recompile_limit = VARIANTS
    denoiser.backbone.compile_repeated_blocks()


@contextmanager
def as_written(denoiser: Denoiser) -> Iterator[None]:
    """Eager mode for its blocks as a context: pictures come in more shapes than would be worth compiling for."""
    compiled = {module: module._compiled_call_impl for module in denoiser.modules() if module._compiled_call_impl}
    let_go(denoiser)
    try:
        yield
    finally:
        for module, call in compiled.items():
            module._compiled_call_impl = call


def let_go(denoiser: Denoiser) -> None:
    """Run compiled blocks in eager mode from now on."""
    for module in denoiser.modules():
        module._compiled_call_impl = None


class _Pass(nn.Module):
    """A pass through a denoiser that takes tensors alone, as a capture wants them."""

    def __init__(self, model: nn.Module, text: Text) -> None:
        super().__init__()
        self.model, self.read = model, text if isinstance(text, TextEmbeddings) else None

    def forward(self, noisy: Tensor, t: Tensor, *text: Tensor) -> Tensor:
        predicted: Tensor = self.model(noisy, t, self.read.with_tensors(text) if self.read else text)
        return predicted


class Graphs:
    """Passes through a denoiser and back, each captured when its shapes are first seen, and replayed from then on.

    A graph reads and writes the same memory each time, so weights must stay where they are; gradients are copied out of
    it, and add up as always. What cannot be captured runs as it is, with a warning.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._passes: dict[tuple[Any, ...], Callable[..., Tensor] | None] = {}

    def __call__(self, noisy: Tensor, t: Tensor, text: Text) -> Tensor:
        """Predict, as the denoiser does."""
        read = isinstance(text, TextEmbeddings)  # or still to be read
        given = (noisy, t, *(text.tensors() if isinstance(text, TextEmbeddings) else text))
        key = read, *(part.shape for part in given)
        if key not in self._passes:
            has_capacity = len(self._passes) < GRAPHS
            self._passes[key] = self._captured(_Pass(self.model, text), given) if has_capacity else None
        replay = self._passes[key]
        return replay(*given) if replay else self.model(noisy, t, text)

    @staticmethod
    def _captured(one: _Pass, given: tuple[Tensor, ...]) -> Callable[..., Tensor] | None:
        """A pass as a graph; None where it cannot be captured. Where memory runs out, the training is to go gently."""
        places = tuple(part.clone() for part in given)
        try:
            graph: Any = torch.cuda.make_graphed_callables(one, places, allow_unused_input=True)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            log.warning("a step goes without a CUDA graph: %s", error)
            return None
        replay: Callable[..., Tensor] = graph
        return replay
