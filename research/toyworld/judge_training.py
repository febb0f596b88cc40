"""The losses that Toyworld's judge is trained with, and the distortions of its pictures."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy

from trainer.toyworld.judge import LABELS
from trainer.toyworld.words import Scene

TEMPERATURE = 0.1


def label_loss(logits: dict[str, Tensor], scenes: list[Scene]) -> Tensor:
    """Cross-entropy of all four labels; colour counts only where one colour rules."""
    loss = torch.zeros(())
    for name, labels in LABELS.items():
        words = [getattr(scene, name) or "" for scene in scenes]
        plain = torch.tensor([name != "colour" or scene.pattern is None for scene in scenes])
        wanted = torch.tensor([labels.index(word) for word in words])
        loss = loss + cross_entropy(logits[name][plain], wanted[plain])
    return loss


def likeness_loss(embeddings: Tensor, individuals: Tensor) -> Tensor:
    """Supervised contrast: pictures of one individual together, of different ones apart."""
    similar = embeddings @ embeddings.T / TEMPERATURE
    myself = torch.eye(len(embeddings), dtype=torch.bool)
    same = (individuals[:, None] == individuals[None]) & ~myself
    chance = similar.masked_fill(myself, -torch.inf).log_softmax(1)
    return -(chance.masked_fill(~same, 0).sum(1) / same.sum(1)).mean()


def disturbed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Blur and noise of chance strength, so that the judge does not hang on drawing-sharp edges."""
    blurred = avg_pool2d(pictures, 3, stride=1, padding=1)
    share = torch.rand((len(pictures), 1, 1, 1), generator=generator) * 0.8
    noise = torch.randn(pictures.shape, generator=generator) * 0.15 * torch.rand((), generator=generator)
    return pictures.lerp(blurred, share) + noise
