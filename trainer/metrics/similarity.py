"""Likeness to one individual, on a scale where its class as the base model draws it is 0 and its own photos are 1."""

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

LOOKS_LIKE_IT = 0.5  # halfway between any other of its class and itself
LEAST_SCALE = 0.05  # between 0 and 1: where photos look like any other of the class, nothing can be told apart

Embed = Callable[[list[Image.Image]], Tensor]  # of n pictures, n × d, each of length 1


class SubjectSimilarity:
    """Measures pictures against the photos that a subject was learned from.

    The similarity of a picture is the mean cosine of its embedding with those of the photos; `zero` are pictures of the
    class, and `one` others of the individual, without which the photos are compared with each other.
    """

    def __init__(
        self,
        embed: Embed,
        photos: list[Image.Image],
        zero: list[Image.Image],
        one: list[Image.Image] | None = None,
    ) -> None:
        self.embed, self.photos = embed, embed(photos)
        self.zero = self.similarity(zero)
        self.one = self.similarity(one) if one else self.photos_alike

    @property
    def photos_alike(self) -> float:
        """Mean cosine of two photos; 1 of a photo alone."""
        return 1.0 if len(self.photos) == 1 else mean_cosine(self.photos)

    def of(self, pictures: list[Image.Image]) -> float:
        """Mean likeness of pictures, 0 to 1 and a little beyond."""
        return float(self.each(pictures).mean())

    def share_like_it(self, pictures: list[Image.Image]) -> float:
        """Share of pictures that look like the individual rather than like another of its class."""
        return float((self.each(pictures) > LOOKS_LIKE_IT).float().mean())

    def similarity(self, pictures: list[Image.Image]) -> float:
        """Mean cosine of pictures with the photos, unscaled; of plain class pictures, PRES of Ruiz et al. 2022."""
        return float((self.embed(pictures) @ self.photos.T).mean())

    def diversity(self, pictures: list[Image.Image]) -> float:
        """Mean distance between pictures of one prompt, 1 − cosine: DIV of the paper."""
        return 1 - mean_cosine(self.embed(pictures))

    def each(self, pictures: list[Image.Image]) -> Tensor:
        """Likeness of each of n pictures, n."""
        # Linear between the class before and the subject itself, whatever range an embedder's cosines have.
        similar = (self.embed(pictures) @ self.photos.T).mean(1)
        return (similar - self.zero) / max(self.one - self.zero, LEAST_SCALE)


def mean_cosine(embeddings: Tensor) -> float:
    """Mean cosine of two different ones of several embeddings."""
    apart = ~torch.eye(len(embeddings), dtype=torch.bool)
    return float((embeddings @ embeddings.T)[apart].mean())
