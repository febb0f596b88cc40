"""LoRA adapters of several subjects in one forward pass: each row has its own, over one frozen network.

The low-rank matrices stay beside the weights, are stacked for the rows of a pass, and are never multiplied out. What is
computed is xWᵀ + b + (xAᵀ)Bᵀ (Hu et al. 2021, eq. 3), with A and B by row, as S-LoRA (Sheng et al. 2023, arXiv
2311.03285) and Punica (Chen et al. 2023, arXiv 2310.18547) do it for language models.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models.denoiser import Denoiser, Text, TextEmbeddings
from trainer.models.quantised_linear import QuantisedLinear, project

Factors = tuple[Tensor, Tensor]  # down, rank × in, and up, out × rank, which holds the scale


@dataclass(frozen=True, eq=False)
class Adapter:
    """The LoRA of one subject."""

    layers: dict[str, Factors]  # by the path of a linear layer

    @property
    def size_bytes(self) -> int:
        """What its matrices take."""
        return sum(part.nbytes for factors in self.layers.values() for part in factors)


Segment = tuple[tuple[Adapter, ...], int]  # neighbouring rows with the same adapters, whose changes add up


class RowSelection:
    """Which adapters the rows of the pass under way have, and their matrices, stacked once as long as it stays so."""

    def __init__(self) -> None:
        self._segments: tuple[Segment, ...] = ()
        self._stacked: dict[str, Factors | None] = {}
        self._active = False

    @contextmanager
    def rows(self, segments: Sequence[Segment]) -> Iterator[None]:
        """For a forward pass over so many rows."""
        if self._segments != tuple(segments):
            self._segments, self._stacked = tuple(segments), {}
        self._active = any(adapters for adapters, _ in segments)
        try:
            yield
        finally:
            self._active = False

    def factors(self, path: str) -> Factors | None:
        """The matrices of a layer, groups × rank × in and groups × rank × out; None without any.

        A group is as many neighbouring rows as all segments can be divided into, so that rows that have adapters in
        common mostly share one copy of them.
        """
        if not self._active:
            return None
        if path not in self._stacked:
            self._stacked[path] = self._stack(path)
        return self._stacked[path]

    def forget(self) -> None:
        """Hold no adapters of passes that are over."""
        self._segments, self._stacked = (), {}

    def _stack(self, path: str) -> Factors | None:
        each = [_added_up([a.layers[path] for a in adapters if path in a.layers]) for adapters, _ in self._segments]
        widest = max(filter(None, each), key=lambda factors: len(factors[0]), default=None)
        if widest is None:
            return None
        if len(each) == 1 and each[0]:  # the subject's own, of which nothing is copied
            down, up = each[0]
            return down[None], up.t()[None]
        counts = [count for _, count in self._segments]
        size, (down, up) = math.gcd(*counts), widest
        groups = sum(counts) // size
        downs, ups = down.new_zeros(groups, *down.shape), up.new_zeros(groups, *up.t().shape)
        first = 0
        for factors, count in zip(each, counts, strict=True):
            last = first + count // size
            if factors:  # shorter ranks are padded with zeros, which add nothing
                down, up = factors
                downs[first:last, : len(down)] = down
                ups[first:last, : len(down)] = up.t()
            first = last
        return downs, ups


def _added_up(factors: list[Factors]) -> Factors | None:
    """Adapters side by side: their ranks add up, and so do their changes."""
    if len(factors) < 2:
        return factors[0] if factors else None
    return torch.cat([down for down, _ in factors]), torch.cat([up for _, up in factors], dim=1)


class RowLinear(nn.Linear):
    """A linear layer to whose output each row's own adapter is added."""

    selection: RowSelection
    path: str

    def forward(self, x: Tensor) -> Tensor:
        """Project x, rows × … × width."""
        projected = project(self, x)
        factors = self.selection.factors(self.path)
        if factors is None:
            return projected
        down, up = factors
        groups = len(down)  # a layer may see the tokens of a row as rows of their own, one row's after another
        narrow = torch.bmm(x.reshape(groups, -1, x.shape[-1]), down.transpose(1, 2))
        return torch.baddbmm(projected.reshape(groups, -1, projected.shape[-1]), narrow, up).view(projected.shape)


class RowNetwork:
    """A base model's network, whose weights it shares, with adapters by row."""

    def __init__(self, base: Denoiser) -> None:
        self.network, self.selection = base.sharing(), RowSelection()
        for path, module in self.network.named_modules():
            if type(module) in (nn.Linear, QuantisedLinear):
                module.__class__ = RowLinear
                module.selection, module.path = self.selection, path

    def adapted(self, *adapters: Adapter) -> "AdaptedDenoiser":
        """The network with these adapters in all rows."""
        return AdaptedDenoiser(self, adapters)


@dataclass(frozen=True, eq=False)
class AdaptedDenoiser:
    """Draws as a `Denoiser` does, with the adapters of one or several subjects, or none."""

    rows: RowNetwork
    adapters: tuple[Adapter, ...]

    def read(self, ids: Sequence[Tensor]) -> TextEmbeddings:
        """Read prompts, as `Denoiser.read`."""
        with self.rows.selection.rows([(self.adapters, len(ids[0]))]):
            return self.rows.network.read(ids)

    def __call__(self, noisy: Tensor, t: Tensor, text: Text) -> Tensor:
        """Predict, as `Denoiser.forward`."""
        with self.rows.selection.rows([(self.adapters, len(noisy))]):
            predicted: Tensor = self.rows.network(noisy, t, text)
        return predicted


Drawer = Denoiser | AdaptedDenoiser  # what can draw


def network_of(drawer: Drawer) -> Any:
    """What a forward pass goes through: drawers that have it in common can share a pass."""
    return drawer.rows if isinstance(drawer, AdaptedDenoiser) else drawer


def predict_together(
    drawers: Sequence[Drawer], counts: Sequence[int], noisy: Tensor, t: Tensor, text: TextEmbeddings
) -> Tensor:
    """One pass over the rows of several drawers of one network, so many of each."""
    first = drawers[0]
    if not isinstance(first, AdaptedDenoiser):
        predicted: Tensor = first(noisy, t, text)
        return predicted
    adapters = [each.adapters for each in drawers if isinstance(each, AdaptedDenoiser)]
    with first.rows.selection.rows(list(zip(adapters, counts, strict=True))):
        predicted = first.rows.network(noisy, t, text)
    return predicted
