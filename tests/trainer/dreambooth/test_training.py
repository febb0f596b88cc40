"""Training and drawing on the micro model, in this process: what is learned, kept, repeated."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from storage.contract.recipe import Recipe
from storage.errors import UserError
from trainer.diffusion import ddpm, sampling
from trainer.dreambooth import class_images
from trainer.dreambooth.batches import Examples
from trainer.dreambooth.checkpoint import Checkpointer, read
from trainer.dreambooth.class_set_file import is_whole
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import prompt_pairs
from trainer.dreambooth.state import copied
from trainer.dreambooth.train import Step, Training, TrainingResult, learn
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for
from trainer.models.rare_tokens import POOL, choose, meaningless
from trainer.steps import reporting, run_to_end


def recipe(base: BaseModel, **changes: Any) -> Recipe:
    return recipe_for(base.folder, **changes)


def train(
    base: BaseModel,
    photos: list[Path],
    how: Recipe,
    seed: int = 0,
    watch: Callable[[Step], None] = lambda step: None,
    begun: dict[str, Tensor] | None = None,
) -> tuple[TrainingResult, list[Step]]:
    steps: list[Step] = []
    class_latents = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))

    def on_step(step: Step) -> None:
        steps.append(step)
        watch(step)

    return learn(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents)], how, seed, on_step, begun), steps


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


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"schedule": "cosine"}, marks=pytest.mark.slow),
        pytest.param({"accumulation": 2, "text_learning_rate": 0.0}, marks=pytest.mark.slow),
        pytest.param({"method": "lora"}, marks=pytest.mark.slow),
        {"ema_decay": 0.9, "text_steps": 3, "noise_offset": 0.1, "flips": True},
    ],
)
def test_a_training_goes_on_from_a_checkpoint_to_the_same_end_bit_for_bit(
    base: BaseModel, photos: list[Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    steps = 8
    how, chance = recipe(base, steps=steps, **changes), Random(str(changes))
    whole, _ = train(base, photos, how)
    begun, of = None, {"recipe": how.model_dump_json()}
    while begun is None or len(begun["losses"]) < steps - 1:
        last = chance.randint(len(begun["losses"]) + 1 if begun else 1, steps - 1)  # it is killed after this step
        written: list[Path] = []
        checkpointer = Checkpointer(tmp_path, 0, of, lambda _, path, written=written: written.append(path))

        def kill(step: Step, last: int = last, checkpointer: Checkpointer = checkpointer) -> None:
            checkpointer.after(step.step, lambda: copied(step.training))
            if step.step == last:
                checkpointer.write(step.step, lambda: copied(step.training))
                checkpointer.finish()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(base, photos, how, watch=kill, begun=begun)
        begun = read(written[-1], of)
    resumed, taken = train(base, photos, how, begun=begun)
    assert [s.step for s in taken] == [steps]
    assert resumed.losses == whole.losses
    assert all(torch.equal(v, whole.denoiser.state_dict()[n]) for n, v in resumed.denoiser.state_dict().items())


def test_a_checkpoint_of_another_training_is_not_taken(base: BaseModel, photos: list[Path], tmp_path: Path) -> None:
    written: list[Path] = []
    checkpointer = Checkpointer(tmp_path, 0, {"seed": "1"}, lambda _, path: written.append(path))
    train(
        base,
        photos,
        recipe(base, steps=1),
        watch=lambda step: checkpointer.after(step.step, lambda: copied(step.training)),
    )
    checkpointer.finish()
    assert read(written[0], {"seed": "1"})
    assert read(written[0], {"seed": "2"}) is None


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(
    base: BaseModel, photos: list[Path], tmp_path: Path
) -> None:
    checkpointer = Checkpointer(tmp_path / "gone", 0, {}, lambda *_: pytest.fail("nothing was written"))
    learned, _ = train(
        base,
        photos,
        recipe(base, steps=2),
        watch=lambda step: checkpointer.after(step.step, lambda: copied(step.training)),
    )
    checkpointer.finish()
    assert len(learned.losses) == 2


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


# ── drawing ───────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── class sets and identifiers ────────────────────────────────────────────────────────────────────────────────────


def test_a_class_set_is_the_same_each_time(base: BaseModel, tmp_path: Path) -> None:
    how = recipe(base, class_images=3, class_steps=2)
    for name in "ab":
        run_to_end(class_images.draw_class_set(base, "dog", how, tmp_path / name))
    assert class_images.read_class_set(tmp_path / "a").shape == (3, 4, 16, 16)
    whole = (tmp_path / "a").read_bytes()
    assert whole == (tmp_path / "b").read_bytes() and is_whole(tmp_path / "a")
    for torn in (b"", b"{", whole[:-1], whole[:9], whole[:-1] + bytes([whole[-1] ^ 1]), b"\xff" * 64):
        (tmp_path / "b").write_bytes(torn)
        assert not is_whole(tmp_path / "b")
    assert not is_whole(tmp_path / "c")


def test_words_that_mean_something_are_no_identifiers() -> None:
    words, generator = [f"w{k}" for k in range(20)], torch.Generator().manual_seed(0)
    readings = torch.randn(20, 8, generator=generator)
    readings[[3, 11]] += 20
    assert meaningless(words, readings) == [word for word in words if word not in ("w3", "w11")]


def test_an_identifier_is_one_rare_token_of_its_own(base: BaseModel) -> None:
    words = base.rare_words
    assert POOL < len(words) == len(set(words)) <= len(base.short_words())
    assert "sks" not in words
    assert all(len(base.tokenizer.tokenize(w)) == 1 for w in words)
    chosen = choose(base.rare_words, "subject-1")
    assert chosen == choose(base.rare_words, "subject-1") != choose(base.rare_words, "subject-1", taken={chosen})
    assert chosen in words[:POOL] and choose(base.rare_words, "subject-1", taken=words[:POOL]) in words[POOL:]
    with pytest.raises(UserError, match="no word is left"):
        choose(base.rare_words, "subject-1", taken=words)
