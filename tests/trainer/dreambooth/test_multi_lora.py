"""Several LoRA trainings in one step: each is bit for bit what it is alone, whoever joins, leaves or fails."""

from itertools import cycle
from typing import Any

import pytest
import torch

from tests.conftest import photos_of_a_character
from trainer.batch_limit import RETRY_S, BatchLimit
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.multi_lora import MultiLora, batch_key
from trainer.dreambooth.state import copied, restore
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for

STEPS, ROWS = 12, 2  # rows of one training in a pass: a photo and a class image


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> list[SubjectSpec]:
    folder, found = tmp_path_factory.mktemp("photos"), []
    for seed, identifier in enumerate(("zuf", "kra", "bli", "mog")):
        photo = folder / f"{identifier}.png"
        photo.write_bytes(photos_of_a_character(1, seed)[0].data)
        found.append(SubjectSpec([photo], "dog", identifier))
    return found


def training_of(base: BaseModel, subject: SubjectSpec, seed: int = 0, **changes: Any) -> Training:
    class_latents = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    how = recipe_for(base.folder, steps=STEPS, method="lora", learning_rate=1e-3, **changes)
    return Training(base, [(subject, class_latents)], how, seed)


def all_of(base: BaseModel, subjects: list[SubjectSpec]) -> list[Training]:
    """Four that differ in all that may differ."""
    own: list[dict[str, Any]] = [
        {"rank": 4},
        {"rank": 8, "alpha": 4, "ema_decay": 0.9},
        {"schedule": "cosine", "warmup_steps": 3, "snr_gamma": 5},
        {"noise_offset": 0.1, "text_steps": 4, "prior_weight": 0.5},
    ]
    return [training_of(base, subjects[k], seed=k, **changes) for k, changes in enumerate(own)]


def step(together: MultiLora, *trainings: Training) -> bool:
    """Take a step of each; whether they were computed in one pass."""
    if len(trainings) > 1:
        together.step(trainings)
    shared = all(training.has_gradients for training in trainings)
    for training in trainings:
        training.step()
    return shared


def same(one: Training, other: Training) -> bool:
    """Whether two trainings are at the same step with the same state, to the last bit."""
    return all(torch.equal(value, copied(other)[name]) for name, value in copied(one).items())


@pytest.mark.slow
def test_who_joins_leaves_pauses_and_goes_on_leaves_the_others_as_they_are(
    base: BaseModel, subjects: list[SubjectSpec]
) -> None:
    alone, together, shared = all_of(base, subjects), MultiLora(base, 4), 0
    for training in alone:
        for _ in range(STEPS):
            training.step()
    stays, joins, pauses, leaves = all_of(base, subjects)
    for _ in range(2):
        step(together, stays, pauses)
    for _ in range(3):
        shared += step(together, stays, joins, leaves, pauses)
    kept, resumed = copied(pauses), all_of(base, subjects)[2]
    for _ in range(3):
        shared += step(together, stays, joins)
    restore(resumed, kept)
    for _ in range(4):
        shared += step(together, joins, resumed, stays)
    while left := [training for training in (resumed, joins) if training.taken < STEPS]:
        step(together, *left)
    assert shared > 6
    assert stays.taken == joins.taken == resumed.taken == STEPS
    assert [same(*pair) for pair in ((stays, alone[0]), (joins, alone[1]), (resumed, alone[2]))] == [True] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"text_learning_rate": 0.0},
        {"prior": "teacher", "batch": 2, "accumulation": 2},
        pytest.param({"prior": "none", "gradient_checkpointing": True, "wordings": 2}, marks=pytest.mark.slow),
    ],
)
def test_recipes_of_all_kinds_are_what_they_are_alone(
    base: BaseModel, subjects: list[SubjectSpec], changes: dict[str, Any]
) -> None:
    alone, both = ([training_of(base, subjects[k], k, **changes) for k in range(2)] for _ in range(2))
    together = MultiLora(base, 4)
    for _ in range(4):
        step(together, *both)
        for training in alone:
            training.step()
    for one, other in zip(alone, both, strict=True):
        assert same(one, other)
        torch.testing.assert_close(one.losses, other.losses, rtol=1e-5, atol=0)


def test_one_that_makes_nan_does_not_hurt_the_others(base: BaseModel, subjects: list[SubjectSpec]) -> None:
    alone = training_of(base, subjects[0])
    healthy, sick, together = training_of(base, subjects[0]), training_of(base, subjects[1]), MultiLora(base, 4)
    for number in range(6):
        if number == 3:
            next(iter(sick.learning.values())).data.fill_(torch.nan)
        step(together, healthy, sick)
        alone.step()
    assert same(alone, healthy) and sick.losses[5].isnan().any()


def test_what_cannot_share_a_step_takes_its_own(base: BaseModel, subjects: list[SubjectSpec]) -> None:
    lora = training_of(base, subjects[0])
    larger = training_of(base, subjects[1], batch=2)
    full = Training(base, [(subjects[2], None)], recipe_for(base.folder, method="full", prior="none"), 0)
    assert batch_key(full) is None and batch_key(lora) != batch_key(larger)
    captioned = training_of(base, SubjectSpec(subjects[1].photos, "dog", "kra", ("on grass",)), captions=True)
    assert batch_key(captioned) == batch_key(lora)
    assert not step(MultiLora(base, 4), lora, captioned)  # prompts of its own have another shape
    assert lora.taken == captioned.taken == 1


@pytest.mark.parametrize(("together_s", "most"), [(1.0, 4), (3.0, 1)])
def test_steps_are_shared_as_far_as_that_is_quicker(
    base: BaseModel, subjects: list[SubjectSpec], together_s: float, most: int
) -> None:
    """By a clock on which two steps take two seconds alone, and so many together."""
    now_s, durations_s = 0.0, cycle([0.0, 2.0, 0.0, together_s])

    def clock() -> float:
        nonlocal now_s
        now_s += next(durations_s)
        return now_s

    two, multi_lora = [training_of(base, subjects[k], k) for k in range(2)], MultiLora(base, 4, clock)
    for _ in range(6):
        step(multi_lora, *two)
    assert multi_lora.most == most


def test_after_a_while_as_many_as_before_are_tried_and_measured_again(
    base: BaseModel, subjects: list[SubjectSpec]
) -> None:
    """By clocks on which steps together are slow at first, and quick later."""
    now_s, took_s, steps_s = 0.0, 0.0, cycle([0.0, 2.0, 0.0, 3.0])

    def clock() -> float:
        nonlocal took_s
        took_s += next(steps_s)
        return took_s

    two = [training_of(base, subjects[k], k) for k in range(2)]
    multi_lora = MultiLora(base, BatchLimit(2, lambda: now_s), clock)
    for _ in range(6):
        step(multi_lora, *two)
    assert multi_lora.most == 1
    now_s, steps_s = RETRY_S, cycle([0.0, 2.0, 0.0, 1.0])
    assert multi_lora.most == 2
    for _ in range(5):
        step(multi_lora, *two)
    assert multi_lora.most == 2 and step(multi_lora, *two)


def test_where_memory_was_short_fewer_share_steps_for_a_while(base: BaseModel, subjects: list[SubjectSpec]) -> None:
    now_s, is_short = 0.0, True

    def check(module: object, given: tuple[torch.Tensor, ...]) -> None:
        if is_short and len(given[0]) > 2 * ROWS:
            raise torch.OutOfMemoryError("out of memory")

    trainings = [training_of(base, subjects[k], k) for k in range(3)]
    alone = [training_of(base, subjects[k], k) for k in range(3)]
    multi_lora = MultiLora(base, BatchLimit(4, lambda: now_s))
    handle = base.denoiser.unet.conv_in.register_forward_pre_hook(check)
    for _ in range(2):
        step(multi_lora, *trainings)
    handle.remove()
    assert multi_lora.most == 1
    now_s, is_short = 2 * RETRY_S, False
    assert multi_lora.most == 4
    assert any(step(multi_lora, *trainings) for _ in range(8))
    for one, other in zip(alone, trainings, strict=True):
        while one.taken < other.taken:
            one.step()
        assert same(one, other)
