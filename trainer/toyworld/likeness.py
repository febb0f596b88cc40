"""Likeness to one individual, on a scale where its class as the base model draws it is 0 and its own photos are 1."""

import torch
from PIL import Image
from torch import Tensor

from trainer.photos import to_tensor
from trainer.toyworld.judge import Judge, judge_pictures

LOOKS_LIKE_IT = 0.5  # halfway between any other of its class and itself


class Likeness:
    """Measures pictures against the photos that a subject was learned from.

    The similarity of a picture is the mean cosine of its embedding with those of the photos; `zero` and `one` are
    the pictures that set the scale.
    """

    def __init__(
        self, judge: Judge, photos: list[Image.Image], zero: list[Image.Image], one: list[Image.Image]
    ) -> None:
        self.judge = judge
        self.photos = self._embed(photos)
        self.zero, self.one = self.similarity(zero), self.similarity(one)

    def of(self, pictures: list[Image.Image]) -> float:
        """Mean likeness of pictures, 0 to 1 and a little beyond."""
        return float(self._each(pictures).mean())

    def share_like_it(self, pictures: list[Image.Image]) -> float:
        """Share of pictures that look like the individual rather than like another of its class."""
        return float((self._each(pictures) > LOOKS_LIKE_IT).float().mean())

    def similarity(self, pictures: list[Image.Image]) -> float:
        """Mean cosine of pictures with the photos, unscaled; of plain class pictures, PRES of Ruiz et al. 2022."""
        return float((self._embed(pictures) @ self.photos.T).mean())

    def diversity(self, pictures: list[Image.Image]) -> float:
        """Mean distance between pictures of one prompt, 1 − cosine: DIV of the paper, with the judge's embedding."""
        embeddings = self._embed(pictures)
        n = len(pictures)
        apart = 1 - embeddings @ embeddings.T
        return float(apart[~torch.eye(n, dtype=torch.bool)].mean())

    def _each(self, pictures: list[Image.Image]) -> Tensor:
        similar = (self._embed(pictures) @ self.photos.T).mean(1)
        return (similar - self.zero) / (self.one - self.zero)

    def _embed(self, pictures: list[Image.Image]) -> Tensor:
        return judge_pictures(self.judge, to_tensor(pictures)).embeddings
