"""What a step of DreamBooth learns from: latents of the photos and of the class set, noise, timesteps.

Everything stays on the device, and chance is drawn there, so that a step never waits for the CPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from storage.contract.recipe import Recipe
from trainer.diffusion.images import to_tensor
from trainer.diffusion.latents import moments
from trainer.dreambooth.augment import Views
from trainer.models.base import BaseModel


@dataclass(frozen=True)
class Batch:
    """Examples of one forward pass: those of the subject first, then as many for the class, if it is preserved.

    For a teacher these are the same noisy photos once more. Where the subject's have another size than the class's,
    each have a pass of their own, one after the other.

    Latents and noise are b × c × h × w, timesteps b. Where photos have prompts of their own, `prompts`, b, says which
    guides each row; where they have masks, `mask` is that of the subject's rows, `instances` × 1 × h × w.
    """

    clean: Tensor
    noise: Tensor
    t: Tensor
    instances: int
    prompts: Tensor | None = None
    mask: Tensor | None = None


class Examples:
    """The photos as moments of their latents, n × c × h × w each, and the latents of a class set, if there is one."""

    def __init__(
        self,
        base: BaseModel,
        moments: tuple[Tensor, Tensor],
        class_latents: Tensor | None,
        noise_offset: float = 0,
        prompts: Tensor | None = None,
        of_class: int = 1,
        masks: Tensor | None = None,
        teacher: bool = False,
    ) -> None:
        """`noise_offset` is the spread of a noise that each channel of an example shares, which teaches brightness.

        `prompts`, n, are the rows of the photos' prompts, where they have their own, and `of_class` is that of the
        class; `masks` are n × 1 × h × w. With a `teacher` each photo stands for the class as well, its class prompt
        `of_class` rows after its own.
        """
        self.apart = class_latents is not None and class_latents.shape[2:] != moments[0].shape[2:]
        if self.apart and prompts is None:
            prompts = torch.zeros(len(moments[0]), dtype=torch.long)
        self.prompts, self.masks = (None if part is None else part.to(base.device) for part in (prompts, masks))
        self.of_class, self.teacher = of_class, teacher
        self.noise_offset = noise_offset
        self.mean, self.std = (part.to(base.device) for part in moments)
        self.class_latents = None if class_latents is None else class_latents.to(base.device)
        self.base, self.device = base, base.device

    def draw(self, count: int, passes: int, chance: Generator) -> Iterator[Batch]:
        """Draw `count` examples of the subject and as many of the class, in batches for so many forward passes."""
        # The order of these draws is part of what a seed means: a changed one would train another subject from it.
        which = torch.randint(len(self.mean), (count,), generator=chance, device=self.device)
        mean, std = self.mean[which], self.std[which]
        # The VAE gives a distribution for each photo. A sample of it costs nothing, and is a little augmentation.
        parts = [self.base.normalised(mean + std * self._noise(mean, chance))]
        if self.class_latents is not None:
            others = torch.randint(len(self.class_latents), (count,), generator=chance, device=self.device)
            parts.append(self.class_latents[others])
        noises = [self._noise(part, chance) for part in parts]
        if self.noise_offset:
            noises = [n + self.noise_offset * self._noise(n[:, :, :1, :1], chance) for n in noises]
        times = [self.base.process.draw_times(part, chance) for part in parts]
        if self.teacher:  # what differs between the two is to be the prompt alone
            parts, noises, times = 2 * parts, 2 * noises, 2 * times
        # Drawn all at once and divided afterwards, so that micro-batches see the same numbers as one large batch.
        size = count // passes
        for first in range(0, count, size):
            drawn = [[part[first : first + size] for part in of] for of in (parts, noises, times)]
            shown = which[first : first + size]
            prompts, mask = self._prompts(shown), None if self.masks is None else self.masks[shown]
            if self.apart:
                for kind, (clean, noise, t) in enumerate(zip(*drawn, strict=True)):
                    yield Batch(clean, noise, t, 0 if kind else size, prompts[kind], None if kind else mask)
            else:
                clean, noise, t = map(torch.cat, drawn)
                yield Batch(clean, noise, t, size, torch.cat(prompts) if prompts else None, mask)

    def _prompts(self, shown: Tensor) -> list[Tensor]:
        """The prompts of these examples, and that of the class as often; none if all have the same."""
        if self.prompts is None:
            return []
        own = self.prompts[shown]
        if self.teacher:
            return [own, own + self.of_class]
        return [own] if self.class_latents is None else [own, torch.full_like(own, self.of_class)]

    @staticmethod
    def _noise(like: Tensor, chance: Generator) -> Tensor:
        return torch.randn(like.shape, generator=chance, device=like.device)


class Buckets:
    """Examples of several sizes: a step learns from one of them, and in the long run as often from each picture.

    Aspect buckets as NovelAI has them (2022, "NovelAI Improvements on Stable Diffusion"): sizes have about as many
    pixels as the model's square, so that they take no more memory, and sides that its networks can halve.
    """

    def __init__(self, sizes: list[Examples], choice: Generator) -> None:
        self.sizes, self.choice = sizes, choice
        self.pictures = torch.tensor([float(len(examples.mean)) for examples in sizes])

    def draw(self, count: int, passes: int, chance: Generator) -> Iterator[Batch]:
        """Draw the examples of a step, as `Examples.draw` does."""
        # By numbers of pictures: the rare size of a single photo must not be seen as often as that of ten.
        which = int(torch.multinomial(self.pictures, 1, generator=self.choice))
        return self.sizes[which].draw(count, passes, chance)


def examples_of(
    base: BaseModel, views: Views, class_latents: Tensor | None, recipe: Recipe, captions: int, choice: Generator
) -> Examples | Buckets:
    """What a training learns from; `captions` says how many of the photos have prompts of their own, all or none."""
    sizes = [
        Examples(
            base,
            moments(base, to_tensor(some.images)),
            class_latents,
            recipe.noise_offset,
            prompts=some.photos if captions else None,
            of_class=captions or 1,
            masks=some.weights(base.latent_px, recipe.mask_weight),
            teacher=recipe.prior == "teacher",
        )
        for some in views.by_size()
    ]
    return sizes[0] if len(sizes) == 1 else Buckets(sizes, choice)
