"""Prior preservation in three ways: on class images, by the base model as teacher, or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch

from storage.contract.recipe import Recipe
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.state import copied, restore
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for

SAID = ("on a red sofa", "", "a dog in the snow", "")


def training(base: BaseModel, photos: list[Path], **changes: Any) -> Training:
    how = recipe_for(base.folder, **{"prior": "teacher", "steps": 4, "batch": 2, "warmup_steps": 0, **changes})
    return Training(base, [(SubjectSpec(photos, "dog", "zuf", SAID), None)], how, seed=0)


@pytest.mark.parametrize(
    ("recipe", "prior"),
    [
        ({}, "class_set"),
        ({"prior_weight": 1.0}, "class_set"),
        ({"prior_weight": 0}, "none"),
        ({"prior_weight": 0.0, "prior": "teacher"}, "none"),
        ({"prior": "teacher"}, "teacher"),
    ],
)
def test_recipes_of_before_are_read_by_their_weight(recipe: dict[str, Any], prior: str) -> None:
    assert Recipe(**recipe).prior == prior
    assert Recipe.model_validate_json(Recipe(**recipe).model_dump_json()).prior == prior


@pytest.mark.parametrize("how", [{}, {"text_learning_rate": 0.0}, {"captions": True, "aspect_buckets": True}])
def test_fresh_adapters_differ_in_nothing_from_their_teacher(
    base: BaseModel, photos: list[Path], how: dict[str, Any]
) -> None:
    taught = training(base, photos, method="lora", learning_rate=1e-2, **how)
    taught.step()
    taught.step()
    (first, instance, prior), (_, _, later) = taught.losses[:2].tolist()
    assert prior < 1e-9 and first == pytest.approx(instance)  # rows side by side are added up in another order
    assert later > 1e-6


@pytest.mark.parametrize("captions", [False, True])
def test_the_teacher_is_asked_for_the_class_on_the_same_noisy_photo(
    base: BaseModel, photos: list[Path], captions: bool
) -> None:
    taught = training(base, photos, learning_rate=1e-2, prior_weight=0.5, captions=captions)
    taught.step()
    (batch,) = taught.subjects[0].examples.draw(2, 1, torch.Generator().manual_seed(5))
    for part in (batch.clean, batch.noise, batch.t):
        assert torch.equal(part[:2], part[2:])
    which = torch.randint(4, (2,), generator=torch.Generator().manual_seed(5)).tolist()  # as examples are chosen
    said = {"on a red sofa": " on a red sofa", "a dog in the snow": " in the snow"} if captions else {}
    with torch.no_grad():
        loss, _, prior = taught.loss(taught.model, batch, taught.subjects[0].texts[0])
        wanted = {"zuf": 0.0, "a": 0.0}
        for row, word in enumerate(("zuf", "zuf", "a", "a")):
            prompt = f"a photo of {word} dog{said.get(SAID[which[row % 2]], '')}"
            one, ids = slice(row, row + 1), base.token_ids([prompt])
            noisy = base.process.add_noise(batch.clean[one], batch.noise[one], batch.t[one])
            target = base.process.target(batch.clean[one], batch.noise[one], batch.t[one])
            target = base.denoiser(noisy, batch.t[one], ids) if word == "a" else target
            wanted[word] += (taught.denoiser(noisy, batch.t[one], ids) - target).square().mean().item() / 2
    assert prior.item() == pytest.approx(wanted["a"], rel=1e-4) and prior > 0
    assert loss.item() == pytest.approx(wanted["zuf"] + 0.5 * wanted["a"], rel=1e-4)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_teacher_does_not_learn(base: BaseModel, photos: list[Path], method: str) -> None:
    before = {name: weight.clone() for name, weight in base.denoiser.state_dict().items()}
    taught = training(base, photos, method=method, learning_rate=1e-2)
    for _ in range(2):
        taught.step()
    (batch,) = taught.subjects[0].examples.draw(2, 1, taught.chance)
    *_, prior = taught.loss(taught.model, batch, taught.subjects[0].texts[0])
    prior.backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in taught.learning.values())
    assert all(weight.grad is None for weight in base.denoiser.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in base.denoiser.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_with_a_teacher_goes_on_bit_for_bit(base: BaseModel, photos: list[Path], method: str) -> None:
    whole, half, rest = (training(base, photos, method=method, learning_rate=1e-3) for _ in range(3))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        half.step()
    whole_loss = whole.validate()
    restore(rest, copied(half))
    for _ in range(2):
        rest.step()
    assert torch.equal(rest.losses, whole.losses) and rest.validate() == whole_loss
    assert all(torch.equal(weight, rest.learning[name]) for name, weight in whole.learning.items())


def test_validation_shows_how_far_the_class_has_moved(base: BaseModel, photos: list[Path]) -> None:
    taught = training(base, photos, method="lora", learning_rate=1e-2)
    _, before = taught.validate()
    taught.step()
    _, after = taught.validate()
    assert before < 1e-9 < after
