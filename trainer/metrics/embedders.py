"""Image embedders for report cards: Toyworld's judge, or a CLIP model (Radford et al. 2021, arXiv 2103.00020).

CLIP's similarity of pictures is CLIP-I of Ruiz et al. 2022; where a picture is, is the place whose words fit it best.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from storage.base_models import TOYWORLD
from storage.errors import SetupError
from storage.nouns import with_article
from storage.settings.trainer import TrainerSettings
from trainer.diffusion.images import to_tensor
from trainer.metrics.load_errors import load_error
from trainer.models.finite import check_finite
from trainer.toyworld.judge import judge_pictures, load_judge

JUDGE_PX = 64


class Embedder(Protocol):
    """An image embedder that also classifies places."""

    def embed(self, pictures: list[Image.Image]) -> Tensor:
        """What each shows as a direction: n × d, of length 1."""

    def places(self, pictures: list[Image.Image], noun: str, places: Sequence[str]) -> list[str]:
        """The place in each picture, one of these; something else if it is elsewhere."""


class ToyworldEmbedder:
    """The judge that ships with Toyworld."""

    def __init__(self) -> None:
        self.judge = load_judge()

    def embed(self, pictures: list[Image.Image]) -> Tensor:
        """The judge's embedding of an individual."""
        return judge_pictures(self.judge, small(pictures)).embeddings

    def places(self, pictures: list[Image.Image], noun: str, places: Sequence[str]) -> list[str]:
        """The judge knows all places there are."""
        return judge_pictures(self.judge, small(pictures)).words["place"]


def small(pictures: list[Image.Image]) -> Tensor:
    """Pictures as the judge takes them, n × 3 × 64 × 64 from -1 to 1."""
    return to_tensor([picture.resize((JUDGE_PX, JUDGE_PX), Image.Resampling.LANCZOS) for picture in pictures])


class ClipEmbedder:
    """A CLIP model from a folder or from the hub."""

    def __init__(self, name: str, device: torch.device) -> None:
        """Raises OSError or ValueError if it cannot be read, SetupError if its weights are not all numbers."""
        from transformers import CLIPModel, CLIPProcessor  # takes a second, and most have no use for it

        # Only safetensors: other weight files are pickles, which run code when they are read.
        self._model: Any = CLIPModel.from_pretrained(name, use_safetensors=True).to(device).eval()
        check_finite(self._model.named_parameters(), f"The CLIP model {name}")
        self._processor: Any = CLIPProcessor.from_pretrained(name)

    @torch.no_grad()
    def embed(self, pictures: list[Image.Image]) -> Tensor:
        """CLIP's embedding of pictures."""
        given = self._processor(images=pictures, return_tensors="pt").to(self._model.device)
        return normalize(_direction(self._model.get_image_features(**given)), dim=1).cpu()

    @torch.no_grad()
    def places(self, pictures: list[Image.Image], noun: str, places: Sequence[str]) -> list[str]:
        """The place whose words fit best."""
        # CLIP's own wording for zero-shot classification, with the subject's class in it.
        words = self.read([f"a photo of {with_article(noun)} {place}" for place in places])
        return [places[int(k)] for k in (self.embed(pictures) @ words.T).argmax(1)]

    @torch.no_grad()
    def read(self, texts: list[str]) -> Tensor:
        """CLIP's embedding of texts, which have a common space with pictures; of long ones that of their beginning."""
        how = {"padding": True, "truncation": True, "return_tensors": "pt"}
        given = self._processor(text=texts, **how).to(self._model.device)
        return normalize(_direction(self._model.get_text_features(**given)), dim=1).cpu()


def _direction(features: Any) -> Tensor:
    """The embedding itself, whether or not this version of transformers wraps it."""
    embedding: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return embedding


def open_embedder(settings: TrainerSettings, device: torch.device) -> Embedder | None:
    """The embedder by the settings; None if there is none. Raises SetupError in a sentence."""
    if not settings.judge:
        return ToyworldEmbedder() if settings.base_model == TOYWORLD else None
    name = str(Path(settings.judge).expanduser()) if Path(settings.judge).expanduser().is_dir() else settings.judge
    try:
        return ClipEmbedder(name, device)
    except (OSError, ValueError) as error:
        reason = load_error(name, error)
        raise SetupError(
            f"DARKROOM_JUDGE is {settings.judge}, which cannot be read as a CLIP model: {reason}"
        ) from error
