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
from torch.nn.functional import normalize

from trainer.toyworld.words import ACCESSORIES, CLASSES, COLOURS, PLACES, STUDIO

WEIGHTS = Path(__file__).parent / "weights" / "judge.safetensors"
LABELS: dict[str, tuple[str, ...]] = {
    "noun": CLASSES,
    "colour": tuple(COLOURS),
    "place": (*PLACES, STUDIO),
    "accessory": ("", *ACCESSORIES),
}
EMBEDDING = 64


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
class Judgement:
    """What the judge says of some pictures: a word for each label, and their embeddings."""

    words: dict[str, list[str]]
    embeddings: Tensor


def load_judge(path: Path = WEIGHTS) -> Judge:
    """Load the judge that ships."""
    judge = Judge()
    # Stored in half precision, for the size of the wheel; a CPU computes quicker in float32.
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.eval()


@torch.no_grad()
def judge_pictures(judge: Judge, pictures: Tensor) -> Judgement:
    """Judge n × 3 × 64 × 64 pictures."""
    logits, embeddings = judge(pictures)
    words = {name: [LABELS[name][int(i)] for i in values.argmax(1)] for name, values in logits.items()}
    return Judgement(words, embeddings)


def words_of(text: str) -> dict[str, str]:
    """What a prompt says that the judge can see, by label; what Toyworld does not know is passed over.

    >>> words_of("a dog wearing a red hat in Paris")
    {'place': 'in Paris', 'accessory': 'a red hat', 'noun': 'dog'}
    """
    # Phrases before single words: "a blue scarf" must not make the dog blue.
    by_label, rest = {}, text.casefold()
    for label, phrases in (("place", PLACES), ("accessory", ACCESSORIES)):
        for phrase in phrases:
            if re.search(rf"\b{phrase.casefold()}\b", rest):
                by_label[label] = phrase
                rest = rest.replace(phrase.casefold(), "")  # the hat is red, not who wears it
    words = re.findall(r"\w+", rest)
    return by_label | {label: word for label in ("noun", "colour") for word in words if word in LABELS[label]}
