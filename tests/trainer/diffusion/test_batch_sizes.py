"""How many pictures are drawn together follows from memory and from what was measured."""

from itertools import pairwise
from math import inf
from pathlib import Path

import torch

from trainer.diffusion import sampling
from trainer.diffusion.batch_sizes import PictureBatches
from trainer.models.base import BaseModel
from trainer.steps import reporting, run_to_end

PLENTY = 2**40


def drawn(batches: PictureBatches, count: int, picture_s: dict[int, float], side_px: int = 64) -> list[int]:
    """The batches in which so many pictures are drawn, where one takes this long in a batch of each size."""
    found: list[int] = []
    while left := count - sum(found):
        found.append(batches.next(left, side_px))
        for disturbed in (9, 1, 1, 1, 1):  # the first pass has to find its memory
            batches.pass_took(found[-1], disturbed * found[-1] * picture_s.get(found[-1], 1.0), side_px)
    return found


def test_larger_batches_are_tried_and_kept_where_they_pay(base: BaseModel) -> None:
    batches = PictureBatches(base, lambda device: PLENTY)
    quicker = {4: 1.0, 8: 0.8, 16: 0.7}
    assert drawn(batches, 16, quicker) == [4, 8, 4]
    assert drawn(batches, 16, quicker) == [16] == drawn(batches, 16, quicker)
    assert drawn(batches, 6, quicker) == [6] and drawn(batches, 3, quicker) == [3]
    assert drawn(batches, 16, quicker, side_px=128) == [4, 8, 4]  # another size is measured for itself


def test_what_does_not_pay_is_given_up(base: BaseModel) -> None:
    batches = PictureBatches(base, lambda device: PLENTY)
    slower = {4: 1.0, 8: 1.1, 16: 0.1}
    assert drawn(batches, 16, slower) == [4, 8, 4]
    assert drawn(batches, 16, slower) == [4, 4, 4, 4]


def test_memory_bounds_it(base: BaseModel) -> None:
    short = PictureBatches(base, lambda device: 1)
    assert drawn(short, 16, {4: 1.0, 8: 0.1}) == [4, 4, 4, 4]  # as always: without it is found out that it is too much


def test_a_pass_holds_as_many_pixels_as_were_measured_to_fit(base: BaseModel) -> None:
    batches = PictureBatches(base, lambda device: 2**30)
    batches.took_memory(4, 64, 4 * 2**26)  # 64 MiB for each picture
    assert batches.most(64) == 8 and batches.most(64, adapters_bytes=2**25) == 5
    assert batches.most(128) == 4  # as always
    batches.shrink(8, 64)
    assert batches.most(64) == 4


def test_how_much_longer_larger_passes_take_is_known_once_they_were_measured(base: BaseModel) -> None:
    batches = PictureBatches(base, lambda device: PLENTY)
    assert batches.times_longer(1, 5, 64) == inf
    for _ in range(3):
        batches.pass_took(1, 1.0, 64)
        batches.pass_took(8, 4.0, 64)
    assert batches.times_longer(1, 8, 64) == 4.0 == batches.times_longer(1, 5, 64)  # no longer than eight
    assert batches.times_longer(1, 9, 64) == batches.times_longer(2, 8, 64) == batches.times_longer(1, 8, 128) == inf
    for _ in range(20):
        batches.pass_took(8, 2.0, 64)  # the machine has less to do
    assert batches.times_longer(1, 8, 64) < 2.1


def test_pictures_do_not_depend_on_how_many_are_drawn_together(base: BaseModel, tmp_path: Path) -> None:
    how = {"steps": 3, "guidance": 2.0}
    steps: list[tuple[int, int]] = []
    batches = PictureBatches(base, lambda device: PLENTY)
    drawing = sampling.draw_steps(base, base.denoiser, "a dog", [*range(10)], together=batches, **how)
    many = run_to_end(reporting(drawing, lambda *at: steps.append(at)))
    alone = list(sampling.draw(base, base.denoiser, "a dog", [*range(10)], together=1, **how))
    for one, other in zip(many, alone, strict=True):
        difference = torch.tensor(list(one.tobytes())).sub(torch.tensor(list(other.tobytes()))).abs().max()
        assert difference <= 1
    assert steps[-1] == (9, 9) and all(a <= b for (a, _), (b, _) in pairwise(steps))
