"""Rows of several requests in one forward pass: each is what it is alone, but for rounding."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from storage.errors import UserError
from tests.support.random_adapters import subject_files
from trainer.diffusion import sampling
from trainer.diffusion.sampling import Denoising
from trainer.dreambooth.weights import load_learned
from trainer.engine.subject_cache import SubjectCache
from trainer.models.base import BaseModel

LIMIT = 1e-4  # of latents whose values go to about 3


@pytest.fixture
def subjects(base: BaseModel, tmp_path: Path) -> list[str]:
    """Three LoRA of different ranks and scales, and one subject of a full training."""
    return subject_files(base, tmp_path)


@pytest.fixture
def hold() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def to_end(denoising: Denoising) -> torch.Tensor:
    while not denoising.done:
        denoising.step()
    return denoising.latents


def all_to_end(denoisings: list[Denoising]) -> None:
    """Take steps together as long as two are left; who has come to the end leaves."""
    while len(left := [each for each in denoisings if not each.done]) > 1:
        sampling.step_together(left)
        for each in left:
            each.step()
    for each in left:
        to_end(each)


def test_rows_of_many_subjects_ranks_steps_and_schedulers_are_what_they_are_alone(
    base: BaseModel, subjects: list[str], hold: ExitStack
) -> None:
    cache, (one, two, three, _) = SubjectCache(base), subjects
    requests: list[tuple[tuple[str, ...], list[int], dict[str, Any]]] = [
        ((one,), [1, 2], {"scheduler": "dpm++2m", "steps": 5, "guidance": 4.0}),
        ((two,), [3], {"scheduler": "euler", "steps": 7, "guidance": 7.5}),
        ((), [4], {"scheduler": "euler-a", "steps": 6, "guidance": 2.0, "negative": "blur"}),
        ((one, three), [5], {"scheduler": "ddim", "steps": 4, "guidance": 1.0, "vary_seed": 3}),
    ]

    def begin() -> list[Denoising]:
        drawers = [hold.enter_context(cache.loaded(*weights)) for weights, _, _ in requests]
        return [
            Denoising(base, drawer, "a dog", seeds, **how)
            for drawer, (_, seeds, how) in zip(drawers, requests, strict=True)
        ]

    together = begin()
    assert len({each.batch_key for each in together}) == 1
    all_to_end(together)
    for alone, shared in zip(begin(), together, strict=True):
        assert (to_end(alone) - shared.latents).abs().max() < LIMIT
        assert shared.shared and not alone.shared


def test_adapters_draw_what_merged_weights_draw(base: BaseModel, subjects: list[str]) -> None:
    how: dict[str, Any] = {"steps": 5, "guidance": 4.0}
    one, two = subjects[0], subjects[2]
    merged = base.denoiser.copy()
    load_learned(Path(one), merged, base.denoiser, Path(two))
    with SubjectCache(base).loaded(one, two) as rows:
        adapted, multiplied, plain = (
            to_end(Denoising(base, drawer, "a dog", [1], **how)) for drawer in (rows, merged, base.denoiser)
        )
    assert (adapted - multiplied).abs().max() < LIMIT < (adapted - plain).abs().max() / 10


def test_a_full_subject_shares_no_pass_with_adapters(base: BaseModel, subjects: list[str], hold: ExitStack) -> None:
    cache, how = SubjectCache(base), {"steps": 3, "guidance": 4.0}
    drawers = [hold.enter_context(cache.loaded(path)) for path in (subjects[0], subjects[3])]
    keys = {Denoising(base, drawer, "a dog", [1], **how).batch_key for drawer in drawers}
    assert len(keys) == 2


def test_no_weights_are_the_base_model_to_the_last_bit(base: BaseModel) -> None:
    how = {"steps": 3, "guidance": 4.0}
    with SubjectCache(base).loaded() as drawer:
        drawn = to_end(Denoising(base, drawer, "a dog", [1, 2], **how))
    assert torch.equal(drawn, to_end(Denoising(base, base.denoiser, "a dog", [1, 2], **how)))


def test_a_prompt_is_projected_once_and_pictures_are_the_same_to_the_last_bit(
    base: BaseModel, subjects: list[str], hold: ExitStack
) -> None:
    """Whether alone or in one pass, and after the company changes."""
    cache, drawn = SubjectCache(base), []
    drawers = [hold.enter_context(cache.loaded(path)) for path in subjects[:3]]
    for keeps in (True, False):
        denoisings = [
            Denoising(base, drawer, "a dog", [1, 2], steps=steps, guidance=4.0)
            for drawer, steps in zip(drawers, (3, 5, 6), strict=True)
        ]
        for each in denoisings:
            assert each.text.kept == {}
            each.text = each.text if keeps else replace(each.text, kept=None)
        all_to_end(denoisings)
        drawn.append(torch.cat([each.latents for each in denoisings]))
        assert bool(denoisings[2].text.kept) == keeps
    assert torch.equal(*drawn)


def test_a_forgotten_subject_is_dropped_and_one_that_is_drawn_stays_whole(base: BaseModel, subjects: list[str]) -> None:
    cache, how = SubjectCache(base), {"steps": 4, "guidance": 4.0}
    with cache.loaded(subjects[0]) as drawer:
        before = to_end(Denoising(base, drawer, "a dog", [1], **how))
        drawing = Denoising(base, drawer, "a dog", [1], **how)
        drawing.step()
        Path(subjects[0]).unlink()
        cache.drop_forgotten()
        assert torch.equal(to_end(drawing), before)
    with pytest.raises(OSError), cache.loaded(subjects[0]):
        pass


def test_adapters_of_another_base_model_are_refused(base: BaseModel, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.safetensors"
    save_file(
        {"lora_unet_x.lora_down.weight": torch.ones(2, 3), "lora_unet_x.lora_up.weight": torch.ones(3, 2)}, stranger
    )
    with pytest.raises(UserError, match="another base model"), SubjectCache(base).loaded(str(stranger)):
        pass
