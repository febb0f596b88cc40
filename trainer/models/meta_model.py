"""A base model's networks by their settings alone: shapes without content, so that they take no memory."""

from dataclasses import dataclass
from pathlib import Path

import torch

from storage.settings.trainer import BaseWeights
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser
from trainer.models.families import family_of
from trainer.models.placement import Placement


@dataclass(frozen=True)
class MetaModel:
    """A base model without its weights' content."""

    base: BaseModel

    @classmethod
    def of(cls, folder: Path, dtype: torch.dtype, weights: BaseWeights = "plain", offload: str = "none") -> "MetaModel":
        """Build it from the settings in a folder of diffusers' layout; raises SetupError if these make no model.

        `weights` and `offload` are those of a `Placement`.
        """
        family = family_of(folder)
        base = family.skeleton(folder, dtype)
        base.placement = placement = Placement(torch.device("meta"), dtype, weights, offload)
        predicts, *readers = (base.parts[name] for name in family.networks if name in base.parts)
        if not placement.is_plain:
            placement.backbone(predicts, base.denoiser.block_kinds)
            for reader in readers:
                placement.reader(reader)
        return cls(base)

    @property
    def denoiser(self) -> Denoiser:
        """What is trained."""
        return self.base.denoiser

    def weights(self, part: str) -> int:
        """How many weights a part has, by its name in diffusers' layout; none if there is no such part."""
        network = self.base.parts.get(part)
        return sum(weight.numel() for weight in network.parameters()) if network else 0
