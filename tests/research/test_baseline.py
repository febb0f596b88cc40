"""The plain loop that ours is measured beside learns the same from the same examples, though chance differs."""

from pathlib import Path

import pytest
import torch
from torch import Generator

from research.toyworld.baseline import learn_plainly
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Training, learn
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for
from trainer.models.denoiser import Denoiser


@pytest.mark.slow
def test_the_plain_loop_gets_as_far_in_as_many_steps(base: BaseModel, photos: list[Path]) -> None:
    rates = dict.fromkeys(("learning_rate", "text_learning_rate", "word_learning_rate"), 0.001)
    how = recipe_for(base.folder, steps=12, warmup_steps=0, schedule="constant", **rates)
    subject = SubjectSpec(photos, "dog", "zuf")
    class_latents = torch.randn(4, 4, 16, 16, generator=Generator().manual_seed(1))
    training = Training(base, [(subject, class_latents)], how, 0)
    (batch,) = training.subjects[0].examples.draw(8, 1, Generator().manual_seed(9))

    def losses(denoiser: Denoiser) -> list[float]:
        """Of all, of the photos, of the class, on the same examples and noise."""
        with torch.no_grad():
            return [float(loss) for loss in training.loss(denoiser, batch, training.subjects[0].texts[0])]

    before = losses(base.denoiser)
    plain = losses(learn_plainly(base, subject, class_latents, how, 0))
    ours = losses(learn(base, [(subject, class_latents)], how, 0, lambda _: None).denoiser)
    for first, one, other in zip(before, plain, ours, strict=True):
        assert one < 0.95 * first
        assert one == pytest.approx(other, rel=0.05)
