"""As what, and where, the weights of a base model are kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from storage.settings.trainer import BaseWeights
from trainer.models.offload import offload
from trainer.models.quantised_linear import quantise

OFFLOADS = ("none", "text", "blocks")  # each leaves more in the machine's memory than the one before


@dataclass(frozen=True)
class Placement:
    """How the frozen networks that draw are kept; the autoencoder, which is small, is on the device in float32."""

    device: torch.device
    dtype: torch.dtype
    weights: BaseWeights = "plain"
    offload: str = "none"  # one of OFFLOADS; what lies in the machine's memory: text encoders, or all blocks

    @property
    def is_plain(self) -> bool:
        """Whether all is on the device as it is computed with, which a full training needs."""
        return self.weights == "plain" and self.offload == "none"

    def backbone(self, network: Any, kinds: tuple[type[nn.Module], ...]) -> Any:
        """Put the network that predicts in its place; `kinds` are its blocks."""
        blocks = [module for module in network.modules() if isinstance(module, kinds)]
        return self._placed(network, blocks if self.offload == "blocks" else [])

    def reader(self, network: Any) -> Any:
        """Put a text encoder, which reads prompts, in its place."""
        return self._placed(network, [*_repeated(network)] if self.offload != "none" else [])

    def _placed(self, network: Any, offloaded: list[nn.Module]) -> Any:
        if self.weights != "plain":
            quantise(network, self.weights, self.device)
        if offloaded:
            offload(network, offloaded, self.device)
        else:
            network.to(self.device)
        return network.eval().requires_grad_(False)


def _repeated(network: nn.Module) -> Iterator[nn.Module]:
    """The blocks of which a network has lists, but not blocks of blocks."""
    for child in network.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _repeated(child)


IN_FULL = Placement(torch.device("cpu"), torch.float32)
