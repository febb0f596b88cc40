"""The judge: says what is in a Toyworld picture, and how alike two things in pictures are.

A small convolutional network trained on drawings only, never on what the base model makes. Its likeness is the
cosine of two embeddings, which learn to know an individual again in another place (supervised contrast, Khosla
et al. 2020, arXiv 2004.11362).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, normalize

from trainer.toyworld.words import ACCESSORIES, CLASSES, COLOURS, PLACES, STUDIO, Scene

WEIGHTS = Path(__file__).parent / "weights" / "judge.safetensors"
LABELS: dict[str, tuple[str, ...]] = {
    "noun": CLASSES,
    "colour": tuple(COLOURS),
    "place": (*PLACES, STUDIO),
    "accessory": ("", *ACCESSORIES),
}
EMBEDDING = 64
TEMPERATURE = 0.1


class Judge(nn.Module):
    """Four classifiers and an embedding on one trunk. Pictures are n × 3 × 64 × 64 from -1 to 1."""

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels[:-1]), channels, strict=True):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten())
        features = channels[-1] * 4
        self.heads = nn.ModuleDict({name: nn.Linear(features, len(labels)) for name, labels in LABELS.items()})
        self.embed = nn.Linear(features, EMBEDDING)

    def forward(self, pictures: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return logits by label and unit embeddings, n × 64."""
        features = self.trunk(pictures)
        return {name: head(features) for name, head in self.heads.items()}, normalize(self.embed(features), dim=1)


@dataclass(frozen=True)
class Verdict:
    """What the judge says of some pictures: a word for each label, and their embeddings."""

    words: dict[str, list[str]]
    embeddings: Tensor


def load_judge(path: Path = WEIGHTS) -> Judge:
    """Load the judge that ships."""
    judge = Judge()
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.eval()


@torch.no_grad()
def judge_pictures(judge: Judge, pictures: Tensor) -> Verdict:
    """Judge n × 3 × 64 × 64 pictures."""
    logits, embeddings = judge(pictures)
    words = {name: [LABELS[name][int(i)] for i in values.argmax(1)] for name, values in logits.items()}
    return Verdict(words, embeddings)


def words_of(text: str) -> dict[str, str]:
    """What a prompt says that the judge can see, by label; what Toyworld does not know is passed over.

    >>> words_of("a dog wearing a red hat in Paris")
    {'place': 'in Paris', 'accessory': 'a red hat', 'noun': 'dog'}
    """
    found, rest = {}, text.casefold()
    for label, phrases in (("place", PLACES), ("accessory", ACCESSORIES)):
        for phrase in phrases:
            if re.search(rf"\b{phrase.casefold()}\b", rest):
                found[label] = phrase
                rest = rest.replace(phrase.casefold(), "")  # the hat is red, not who wears it
    words = re.findall(r"\w+", rest)
    return found | {label: word for label in ("noun", "colour") for word in words if word in LABELS[label]}


def label_loss(logits: dict[str, Tensor], scenes: list[Scene]) -> Tensor:
    """Cross-entropy of all four labels; colour counts only where one colour rules."""
    loss = torch.zeros(())
    for name, labels in LABELS.items():
        said = [getattr(scene, name) or "" for scene in scenes]
        plain = torch.tensor([name != "colour" or scene.pattern is None for scene in scenes])
        wanted = torch.tensor([labels.index(word) for word in said])
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
