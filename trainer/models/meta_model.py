"""A base model's networks by their settings alone: shapes without content, so that they take no memory."""

from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser
from trainer.models.families import family_of


@dataclass(frozen=True)
class MetaModel:
    """A base model without its weights' content."""

    base: BaseModel

    @classmethod
    def of(cls, folder: Path, dtype: torch.dtype) -> "MetaModel":
        """Build it from the settings in a folder of diffusers' layout; raises SetupError if these make no model."""
        return cls(family_of(folder).skeleton(folder, dtype))

    @property
    def denoiser(self) -> Denoiser:
        """What is trained."""
        return self.base.denoiser

    def weights(self, part: str) -> int:
        """How many weights a part has, by its name in diffusers' layout; none if there is no such part."""
        network = self.base.parts.get(part)
        return sum(weight.numel() for weight in network.parameters()) if network else 0
