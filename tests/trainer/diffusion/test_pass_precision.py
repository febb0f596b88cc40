"""Wide passes in bfloat16: near what float32 draws, narrow ones and what is exact the same to the bit."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.support.random_adapters import subject_files
from tests.trainer.worker.test_engine_client import picture, run
from trainer.diffusion import pass_precision
from trainer.diffusion.sampling import Denoising, step_together
from trainer.engine.engine import Engine
from trainer.engine.subject_cache import SubjectCache
from trainer.models.base import BaseModel, load_base
from trainer.protocol import TaskResult


@pytest.fixture(scope="module")
def toyworld() -> BaseModel:
    return load_base("toyworld")


NEAR = 0.1  # of latents whose values go to about 3
HOW = {"steps": 4, "guidance": 4.0}


def to_end(denoising: Denoising) -> torch.Tensor:
    while not denoising.done:
        denoising.step()
    return denoising.latents


def test_wide_passes_are_near_those_in_float32(toyworld: BaseModel) -> None:
    def drawn(allow: bool) -> Denoising:
        denoising = Denoising(toyworld, toyworld.denoiser, "a red dog", [1, 2, 3, 4], allow_bfloat16=allow, **HOW)
        to_end(denoising)
        return denoising

    rounded, whole = drawn(True), drawn(False)
    assert rounded.in_bfloat16 and not whole.in_bfloat16
    assert rounded.latents.dtype == torch.float32
    assert 0 < (rounded.latents - whole.latents).abs().mean() < NEAR


def test_narrow_passes_are_the_same_to_the_bit(toyworld: BaseModel) -> None:
    rounded, whole = (
        Denoising(toyworld, toyworld.denoiser, "a red dog", [1], allow_bfloat16=allow_bfloat16, **HOW)
        for allow_bfloat16 in (True, False)
    )
    assert torch.equal(to_end(rounded), to_end(whole))
    assert not rounded.in_bfloat16


def test_requests_of_several_subjects_share_a_wide_pass(toyworld: BaseModel, tmp_path: Path) -> None:
    cache = SubjectCache(toyworld)
    with cache.loaded(*subject_files(toyworld, tmp_path)[:1]) as one, cache.loaded() as nobody:

        def begin(allow: bool) -> list[Denoising]:
            return [Denoising(toyworld, each, "a dog", [1, 2], allow_bfloat16=allow, **HOW) for each in (one, nobody)]

        together = begin(True)
        for _ in range(HOW["steps"]):
            step_together(together)
            for each in together:
                each.step()
        for shared, alone in zip(together, begin(False), strict=True):
            assert shared.in_bfloat16
            assert 0 < (shared.latents - to_end(alone)).abs().mean() < NEAR


def test_a_picture_tells_its_precision_and_an_exact_one_is_never_rounded(toyworld: BaseModel, tmp_path: Path) -> None:
    results: list[TaskResult] = []
    tasks = []
    for job, exact in (("wide", False), ("exact", True)):
        (tmp_path / job).mkdir()
        tasks.append(picture(tmp_path / job, job, seeds=(1, 2, 3, 4), exact=exact, **HOW))
    engine = Engine(
        toyworld, lambda news: results.append(news) if isinstance(news, TaskResult) else None, allow_bfloat16=True
    )
    run(engine, *tasks)
    precision = {each.job: Image.open(each.files[0]).text["precision"] for each in results}  # type: ignore[attr-defined]
    assert precision == {"wide": "bfloat16", "exact": "float32"}


def test_a_narrow_batch_after_a_wide_one_tells_that_it_was_not_rounded(toyworld: BaseModel, tmp_path: Path) -> None:
    results: list[TaskResult] = []
    engine = Engine(
        toyworld, lambda news: results.append(news) if isinstance(news, TaskResult) else None, allow_bfloat16=True
    )
    run(engine, picture(tmp_path, "both", seeds=(1, 2, 3, 4, 5), **HOW))
    precision = [Image.open(each).text["precision"] for each in results[0].files]  # type: ignore[attr-defined]
    assert precision == [*["bfloat16"] * 4, "float32", "bfloat16"]  # the grid has both


def test_only_auto_on_a_cpu_with_the_instructions_rounds(toyworld: BaseModel) -> None:
    capabilities = torch.cpu.get_capabilities()
    has_them = any(capabilities.get(name, False) for name in pass_precision.INSTRUCTIONS)
    assert pass_precision.may_use_bfloat16("auto", toyworld) == has_them
    assert not pass_precision.may_use_bfloat16("float32", toyworld)
