"""Training the micro model, in this process: what is learned, and what each setting of the recipe does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.trainings import recipe, train
from trainer.dreambooth.batches import Examples
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import prompt_pairs
from trainer.dreambooth.train import Step, Training, learn
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.models.base import BaseModel


def test_the_first_losses_are_pinned(base: BaseModel, photos: list[Path]) -> None:
    learned, _ = train(base, photos, recipe(base, steps=3))
    assert learned.losses == pytest.approx([1.19944, 1.42518, 1.33487], rel=1e-3)


def test_prompts_are_worded_as_people_say_them() -> None:
    paper, short = prompt_pairs("zof", "ape", 2)
    assert paper == ("a photo of zof ape", "a photo of an ape") and short == ("a zof ape", "an ape")
    assert prompt_pairs("zof", "ape", 1) == [paper]


def test_the_wordings_take_turns(base: BaseModel, photos: list[Path]) -> None:
    one, two = (train(base, photos, recipe(base, steps=4, wordings=count))[0].losses for count in (1, 2))
    assert one != two


def test_both_networks_learn_and_the_base_stays_as_it_is(base: BaseModel, photos: list[Path]) -> None:
    before = {name: value.clone() for name, value in base.denoiser.state_dict().items()}
    learned, steps = train(base, photos, recipe(base, steps=3))
    changed = {n.partition(".")[0] for n, v in learned.denoiser.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {"unet", "text_encoder"}
    assert all(torch.equal(v, before[n]) for n, v in base.denoiser.state_dict().items())
    assert [s.step for s in steps] == [1, 2, 3]
    total, instance, prior = steps[-1].training.losses.T
    assert torch.allclose(total, instance + prior, rtol=1e-4) and instance.all() and prior.all()


def test_the_same_seed_learns_the_same_and_another_does_not(base: BaseModel, photos: list[Path]) -> None:
    first, again, other = (train(base, photos, recipe(base, steps=2), seed)[0].losses for seed in (1, 1, 2))
    assert first == again != other


def test_training_many_steps_lowers_the_loss(base: BaseModel, photos: list[Path]) -> None:
    # without the class set: here it is white noise, of which there is nothing to learn
    how = recipe(base, steps=60, learning_rate=3e-3, text_learning_rate=1e-3, prior_weight=0.0)
    losses = train(base, photos, how)[0].losses
    assert sum(losses[-15:]) < 0.9 * sum(losses[:15])


def test_without_prior_weight_the_class_set_is_not_used(base: BaseModel, photos: list[Path]) -> None:
    _, steps = train(base, photos, recipe(base, steps=2, prior_weight=0.0))
    total, instance, prior = steps[-1].training.losses.T
    assert torch.equal(total, instance) and not prior.any()


def test_a_frozen_text_encoder_stays_as_it_is(base: BaseModel, photos: list[Path], tmp_path: Path) -> None:
    learned, _ = train(base, photos, recipe(base, steps=2, text_learning_rate=0.0))
    save_learned(tmp_path / "w.safetensors", learned.denoiser, base.denoiser)
    assert {name.partition(".")[0] for name in load_file(tmp_path / "w.safetensors")} == {"unet"}


def test_the_learning_rate_rises_and_falls_as_the_recipe_says(base: BaseModel, photos: list[Path]) -> None:
    def rates(**changes: Any) -> list[float]:
        how = recipe(base, steps=6, warmup_steps=2, learning_rate=1e-4, **changes)
        training = Training(base, [(SubjectSpec(photos, "dog", "zuf"), None)], how, 0)
        seen = []
        for _ in range(6):
            seen.append(round(training.optimizer.param_groups[0]["lr"] * 1e4, 2))
            training.step()
        return seen

    assert rates(schedule="constant") == [0, 0.5, 1, 1, 1, 1]
    assert rates(schedule="linear") == [0, 0.5, 1, 0.75, 0.5, 0.25]
    assert rates(schedule="cosine") == [0, 0.5, 1, 0.85, 0.5, 0.15]


def test_accumulation_makes_one_step_of_several_batches(base: BaseModel, photos: list[Path]) -> None:
    learned, steps = train(base, photos, recipe(base, steps=2, accumulation=3))
    assert len(steps) == 2
    assert any(not torch.equal(v, base.denoiser.state_dict()[n]) for n, v in learned.denoiser.state_dict().items())


def test_each_training_may_have_a_precision_of_its_own(base: BaseModel, photos: list[Path]) -> None:
    losses = [train(base, photos, recipe(base, steps=2, precision=of))[0].losses for of in ("no", "bf16", "no")]
    assert losses[0] == losses[2] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_text_encoders_learn_no_more_after_as_many_steps_as_the_recipe_says(
    base: BaseModel, photos: list[Path]
) -> None:
    seen: list[dict[str, Tensor]] = []

    def watch(step: Step) -> None:
        seen.append({name: weight.detach().clone() for name, weight in step.training.learning.items()})

    train(base, photos, recipe(base, steps=5, text_steps=3), watch=watch)
    for part, still in (("text_encoder.", True), ("unet.", False)):
        names = [name for name in seen[0] if name.startswith(part)]
        assert any(not torch.equal(seen[1][name], seen[2][name]) for name in names)
        assert all(torch.equal(seen[2][name], seen[4][name]) for name in names) == still


def test_a_moving_average_is_kept_where_the_recipe_says_so(base: BaseModel, photos: list[Path]) -> None:
    seen: list[dict[str, Tensor]] = []

    def watch(step: Step) -> None:
        seen.append({name: weight.detach().clone() for name, weight in step.training.learning.items()})

    how = recipe(base, steps=3, ema_decay=0.6)
    learned, _ = train(base, photos, how, watch=watch)
    for name, weight in learned.denoiser.named_parameters():
        first, second, third = (weights[name] for weights in seen)
        torch.testing.assert_close(weight.detach(), 0.6 * (first + second) / 2 + 0.4 * third)


def test_an_offset_is_shared_by_a_channel(base: BaseModel) -> None:
    moments = (torch.zeros(2, 4, 16, 16), torch.zeros(2, 4, 16, 16))
    noises = [
        next(Examples(base, moments, None, offset).draw(8, 1, torch.Generator().manual_seed(1))).noise
        for offset in (0.0, 0.3)
    ]
    added = noises[1] - noises[0]
    assert torch.allclose(added, added[:, :, :1, :1].expand_as(added), atol=1e-6)
    assert 0.15 < float(added[:, :, 0, 0].std()) < 0.45


def test_flips_are_mirrored_photos(base: BaseModel, photos: list[Path]) -> None:
    subjects = [(SubjectSpec(photos, "dog", "zuf"), None)]
    plain, flipped = (
        Training(base, subjects, recipe(base, flips=flips), 0).subjects[0].examples.mean for flips in (False, True)
    )
    assert len(flipped) == 2 * len(plain) and torch.equal(flipped[: len(plain)], plain)
    assert not torch.allclose(flipped[len(plain) :], plain, atol=1e-3)


def test_a_watcher_that_raises_stops_the_training(base: BaseModel, photos: list[Path]) -> None:
    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(base, [(SubjectSpec(photos, "dog", "zuf"), None)], recipe(base), 0, stop)


def test_saved_weights_draw_what_was_learned(base: BaseModel, photos: list[Path], tmp_path: Path) -> None:
    learned, _ = train(base, photos, recipe(base, steps=3, learning_rate=1e-3))
    save_learned(tmp_path / "w.safetensors", learned.denoiser, base.denoiser)
    kept = load_file(tmp_path / "w.safetensors")
    assert all(v.dtype == torch.bfloat16 for v in kept.values())
    assert not any(name.startswith("vae") or "moment" in name for name in kept)
    loaded = base.denoiser.copy()
    load_learned(tmp_path / "w.safetensors", loaded, base.denoiser)
    for name, value in loaded.state_dict().items():
        assert torch.allclose(value, learned.denoiser.state_dict()[name], atol=2e-3)


def test_weights_of_another_base_model_are_refused(base: BaseModel, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"unet.conv_in.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="was not learned on this base model"):
        load_learned(tmp_path / "w.safetensors", base.denoiser.copy(), base.denoiser)
