"""Drawing with the micro model, in this process: repeatable, and every setting counts."""

from typing import Any

import pytest
import torch
from PIL import Image

from trainer.diffusion import sampling
from trainer.models.base import BaseModel
from trainer.noise import ddpm
from trainer.steps import reporting, run_to_end


def draw(base: BaseModel, prompt: str = "a dog", seeds: tuple[int, ...] = (1,), **how: Any) -> list[Image.Image]:
    how = {"steps": 4, "guidance": 5.0, **how}
    return list(sampling.draw(base, base.denoiser, prompt, list(seeds), **how))


@pytest.mark.parametrize("scheduler", ddpm.SCHEDULERS)
def test_the_same_seed_gives_the_same_picture_bit_for_bit(base: BaseModel, scheduler: str) -> None:
    first, again = (draw(base, seeds=(3, 4), scheduler=scheduler) for _ in range(2))
    assert [i.tobytes() for i in first] == [i.tobytes() for i in again]
    assert first[0].tobytes() != first[1].tobytes()


def test_every_setting_changes_the_picture(base: BaseModel) -> None:
    plain = draw(base)[0].tobytes()
    others = [
        {"prompt": "a cat on the moon"},
        {"guidance": 9.0},
        {"negative": "blue"},
        {"steps": 5},
        {"scheduler": "euler"},
        {"seeds": (2,)},
    ]
    assert all(draw(base, **other)[0].tobytes() != plain for other in others)


def test_a_guidance_of_one_ignores_the_negative_prompt(base: BaseModel) -> None:
    assert draw(base, guidance=1.0)[0].tobytes() == draw(base, guidance=1.0, negative="blue")[0].tobytes()


def test_size_and_count(base: BaseModel) -> None:
    images = draw(base, seeds=tuple(range(6)), size=(48, 48))
    assert [i.size for i in images] == [(48, 48)] * 6
    assert sampling.grid(images).size == (3 * 48, 2 * 48)


def test_the_end_of_a_prompt_that_is_not_read_is_told(base: BaseModel) -> None:
    assert base.unread("a red dog in Paris") == ""
    assert base.unread("a dog " * 14 + "in Paris at night") == "at night"


def test_a_variation_is_nearer_to_its_picture_than_another_seed_is(base: BaseModel) -> None:
    def latents(seed: int, vary_seed: int | None = None) -> torch.Tensor:
        how: dict[str, Any] = {"steps": 4, "guidance": 2.0, "vary_seed": vary_seed}
        return sampling.sample_latents(base, base.denoiser, "a dog", [seed], **how)

    original, other, varied = latents(1), latents(2), latents(2, vary_seed=1)
    assert 0 < (varied - original).norm() < 0.7 * (other - original).norm()


def test_steps_are_reported_and_a_watcher_may_stop(base: BaseModel) -> None:
    heard: list[tuple[int, int]] = []
    drawing = sampling.draw_steps(base, base.denoiser, "a dog", list(range(5)), steps=3, guidance=2.0)
    assert len(run_to_end(reporting(drawing, lambda *at: heard.append(at)))) == 5
    assert [of for _, of in heard] == [6] * 6
    assert (done := [step for step, _ in heard]) == sorted(done) and done[0] == 1 and done[-1] == 6
