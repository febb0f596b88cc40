"""Embedders for `darkroom eval`: DINO, CLIP, or Toyworld's judge; some embed texts as well."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from storage.contract.evaluation import MetricModels
from storage.errors import SetupError
from trainer.metrics.embedders import ClipEmbedder, ToyworldEmbedder, small
from trainer.metrics.load_errors import load_error
from trainer.models.finite import check_finite
from trainer.toyworld.judge import judge_pictures, words_of

DINO_KINDS = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")  # whose first token stands for the picture


class PromptEmbeddings(NamedTuple):
    """What n pictures of one prompt show."""

    embeddings: Tensor  # n × d, each of length 1
    agreement: Tensor | None = None  # n: how well each does what the prompt says


class EvalEmbedder(Protocol):
    """An embedder of pictures, and perhaps of prompts."""

    def see(self, pictures: list[Image.Image], text: str) -> PromptEmbeddings:
        """Look at pictures of one prompt; of photos the text is empty."""


class DinoEvalEmbedder:
    """A self-supervised vision transformer, DINO (Caron et al. 2021, arXiv 2104.14294) or one of its successors."""

    def __init__(self, name: str) -> None:
        """Raises OSError or ValueError if it cannot be read."""
        from transformers import AutoImageProcessor, AutoModel

        self._model: Any = AutoModel.from_pretrained(name, use_safetensors=True).eval()
        check_finite(self._model.named_parameters(), f"The DINO model {name}")
        self._processor: Any = AutoImageProcessor.from_pretrained(name)
        # Other vision models have no class token there, and would give numbers that mean nothing.
        if (kind := self._model.config.model_type) not in DINO_KINDS:
            raise ValueError(f"it is a {kind}")

    @torch.no_grad()
    def see(self, pictures: list[Image.Image], text: str) -> PromptEmbeddings:
        """The class token of the last layer, as in the paper; DINO cannot read."""
        given = self._processor(images=pictures, return_tensors="pt")
        return PromptEmbeddings(normalize(self._model(**given).last_hidden_state[:, 0], dim=1))


class ClipEvalEmbedder(ClipEmbedder):
    """CLIP: of pictures CLIP-I, of pictures and the prompt CLIP-T."""

    def __init__(self, name: str) -> None:
        """Raises OSError or ValueError if it cannot be read."""
        super().__init__(name, torch.device("cpu"))

    def see(self, pictures: list[Image.Image], text: str) -> PromptEmbeddings:
        """Embeddings, and their cosines with that of the text."""
        embeddings = self.embed(pictures)
        return PromptEmbeddings(embeddings, embeddings @ self.read([text])[0] if text else None)


class JudgeEvalEmbedder(ToyworldEmbedder):
    """Toyworld's judge: it tells individuals apart, and reads class, colour, place and accessory off a picture."""

    def see(self, pictures: list[Image.Image], text: str) -> PromptEmbeddings:
        """Embeddings, and the share of what the text says that the judge sees."""
        # Toyworld's words are known one by one, so agreement is exact where CLIP has to estimate it.
        verdict, asked = judge_pictures(self.judge, small(pictures)), words_of(text)
        if not asked:
            return PromptEmbeddings(verdict.embeddings)
        right = [[label_word == word for label_word in verdict.words[label]] for label, word in asked.items()]
        return PromptEmbeddings(verdict.embeddings, torch.tensor(right).float().mean(0))


def open_eval_embedders(models: MetricModels) -> dict[str, EvalEmbedder]:
    """The meters by what they are called, the one that PRES and DIV are measured with first.

    They compute on the CPU: workers have the GPU, and its memory. Raises SetupError in a sentence.
    """
    meters: dict[str, EvalEmbedder] = {}
    if models.dino:
        meters["dino"] = _opened(DinoEvalEmbedder, "DINO", models.dino)
    if models.clip:
        meters["clip"] = _opened(ClipEvalEmbedder, "CLIP", models.clip)
    if models.judge:
        meters["judge"] = JudgeEvalEmbedder()
    return meters


def _opened(kind: type[DinoEvalEmbedder] | type[ClipEvalEmbedder], called: str, name: str) -> EvalEmbedder:
    folder = Path(name).expanduser()
    source = str(folder) if folder.is_dir() else name
    try:
        return kind(source)
    except (OSError, ValueError) as error:
        raise SetupError(f"{name} cannot be read as a {called} model: {load_error(source, error)}") from error
