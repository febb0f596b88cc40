"""Candidates: kept along the way, compared, chosen by measure or by people, and the same after a crash."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bot.app import Darkroom
from storage.contract.subjects import Subject as Stored
from storage.lifecycle.finalize import finalize_job
from tests.conftest import Chat, photos_of_a_character
from trainer.dreambooth.candidates import Candidates, should_stop_early
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.eval_schedule import candidate_steps
from trainer.dreambooth.report_card import MultiSubjectEvaluator, SubjectEvaluator
from trainer.dreambooth.state import state_of
from trainer.dreambooth.train import Step, Training, learn
from trainer.dreambooth.validation import HELD_BACK
from trainer.metrics.embedders import ToyworldEmbedder
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for
from trainer.steps import run_to_end

pytestmark = pytest.mark.timeout(360)
STEPS = 6


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> SubjectSpec:
    folder = tmp_path_factory.mktemp("photos")
    for upload in photos_of_a_character(2):
        (folder / upload.name).write_bytes(upload.data)
    return SubjectSpec(sorted(folder.iterdir()), "dog", "zuf")


def class_latents(count: int = 40) -> Tensor:
    return torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(1))


@given(st.integers(1, 4000), st.integers(1, 12))
def test_candidates_come_in_the_later_part_and_the_end_is_one(steps: int, count: int) -> None:
    wanted = candidate_steps(steps, count)
    assert list(wanted) == sorted(set(wanted)) and wanted[-1] == steps and len(wanted) <= count
    assert all(1 <= step <= steps for step in wanted) and (steps < 40 or len(wanted) == count)
    assert count == 1 or wanted[0] >= 0.2 * steps - 1


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=12), st.integers(0, 5))
def test_a_training_ends_when_there_is_nothing_to_gain(scores: list[float], patience: int) -> None:
    since_best = len(scores) - 1 - scores.index(max(scores))
    assert should_stop_early(scores, patience) == (
        bool(patience) and (max(scores) >= 0.9 or (max(scores) >= 0.5 and since_best >= patience))
    )


@pytest.mark.slow
def test_losses_on_what_is_held_back_can_be_compared_and_disturb_nothing(base: BaseModel, subject: SubjectSpec) -> None:
    how = recipe_for(base.folder, steps=STEPS, learning_rate=1e-3)
    plain, watched = (Training(base, [(subject, class_latents())], how, 0) for _ in range(2))
    before = watched.validate()
    assert watched.validate() == before and all(loss > 0 for loss in before)
    for _ in range(STEPS):
        plain.step()
        watched.step()
        watched.validate()
    assert torch.equal(plain.losses, watched.losses)
    assert watched.validated[STEPS] != before and list(watched.validated) == list(range(STEPS + 1))


def test_what_is_held_back_is_not_learned_from(base: BaseModel, subject: SubjectSpec) -> None:
    training = Training(base, [(subject, class_latents())], recipe_for(base.folder), 0)
    learned_from = training.subjects[0].examples.class_latents
    assert learned_from is not None and torch.equal(learned_from, class_latents()[:-HELD_BACK])
    held_back = torch.stack([batch.clean[1] for batch in training.subjects[0].validation.batches])
    assert torch.equal(held_back.flip(0), class_latents()[-HELD_BACK:])
    few = Training(base, [(subject, class_latents(4))], recipe_for(base.folder), 0).subjects[0].examples.class_latents
    assert few is not None and len(few) == 4


def test_the_best_is_kept_and_the_same_one_after_a_crash(base: BaseModel, subject: SubjectSpec) -> None:
    how = recipe_for(base.folder, steps=STEPS, learning_rate=1e-3, candidates=4, patience=0)
    state: dict[str, Tensor] = {}

    def learned(begun: dict[str, Tensor] | None = None) -> tuple[Candidates, dict[str, Tensor]]:
        candidates = Candidates(base, how, SubjectEvaluator(base, ToyworldEmbedder(), subject, steps=2, guidance=2.0))
        if begun:
            candidates.load(begun)

        def on_step(step: Step) -> bool:
            enough = run_to_end(candidates.after(step.training))
            if step.step == 4 and not begun:
                state.update({k: v.clone() for k, v in {**state_of(step.training), **candidates.state()}.items()})
            return enough

        found = learn(base, [(subject, class_latents())], how, 0, on_step, begun)
        return candidates, candidates.weights(found)

    (whole, weights), (resumed, same) = learned(), learned(state)
    assert [one.step for one in whole.seen] == list(candidate_steps(STEPS, 4)) and len(whole.seen) == 4
    assert [(one.step, one.measures) for one in resumed.seen] == [(one.step, one.measures) for one in whole.seen]
    assert weights.keys() == same.keys() and all(torch.equal(weights[name], same[name]) for name in weights)
    best = whole.best
    assert best and best.measures["score"] == max(one.measures["score"] for one in whole.seen)
    assert [one.step for one in whole.seen if one.weights is not None] == [best.step]


@pytest.mark.slow
def test_of_several_together_the_means_count(base: BaseModel, subject: SubjectSpec) -> None:
    other = replace(subject, identifier="kra")
    evaluators = [SubjectEvaluator(base, ToyworldEmbedder(), each, steps=2, guidance=2.0) for each in (subject, other)]
    each = [run_to_end(evaluator.glance(base.denoiser)) for evaluator in evaluators]
    panel = MultiSubjectEvaluator(evaluators)
    told = run_to_end(panel.glance(base.denoiser))
    assert told == {name: pytest.approx((each[0][name] + each[1][name]) / 2) for name in ("score", "likeness", "drift")}
    assert [len(row) for row in panel.glanced] == [4] * 4


async def weights_of(app: Darkroom, subject: Stored) -> list[str]:
    return list(await app.store.names(f"subjects/{subject.id}/weights/"))


async def test_people_choose_and_the_rest_is_deleted(app: Darkroom, chat: Chat) -> None:
    train = {"name": "rex", "noun": "dog", "steps": 10, "set": "candidates=3", "choose": "yes"}  # but nobody judges
    asked = (await chat("dreambooth train", photos_of_a_character(2), **train))[-1]
    assert asked.state == "done" and "Which candidate should be kept?" in asked.text
    choices = [button for button in asked.buttons if button.command == "choose"]
    assert [button.label for button in choices] == ["2 steps", "6 steps", "10 steps"]
    assert [button.style for button in choices] == ["plain", "plain", "primary"] and all(b.confirm for b in choices)
    assert [picture.caption for picture in asked.pictures] == ["rex after 2, 6, 10 steps, a row each"]
    before = await app.subjects.find(chat.space, "rex")
    assert before and len(await weights_of(app, before)) == 3

    chosen = (await chat("choose", **choices[0].arguments))[-1]
    assert (
        chosen.text.startswith("rex is now as it was after 2 steps.")
        and chosen.facts["kept candidate"] == "after 2 steps"
    )
    assert [picture.caption for picture in chosen.pictures] == ["sample at step 1", "sample at step 2"]
    assert not [button for button in chosen.buttons if button.command == "choose"]
    subject = await app.subjects.find(chat.space, "rex")
    assert subject and subject.job and await weights_of(app, subject) == [subject.weights_key]
    assert "chosen already" in (await chat("choose", **choices[1].arguments))[-1].text
    await finalize_job(app.store, await app.dispatch.job(subject.job))  # as whoever comes by may do again
    assert await app.subjects.find(chat.space, "rex") == subject
    assert (await chat("imagine", prompt="a [rex] dog", count=1, steps=2))[-1].state == "done"
    await chat("dreambooth forget", name="rex")
    assert not list(await app.store.names(f"subjects/{subject.id}/"))


async def test_a_choice_that_is_not_there_is_said(app: Darkroom, chat: Chat) -> None:
    train = {"name": "mia", "noun": "dog", "steps": 2, "set": "candidates=2", "choose": "yes"}
    asked = (await chat("dreambooth train", photos_of_a_character(2), **train))[-1]
    assert asked.job
    assert (await chat("choose", job=asked.job, step=7))[-1].text == "There is no candidate of step 7; there are 1, 2."
    await chat("dreambooth forget", name="mia")
    assert (await chat("choose", job=asked.job, step=1))[-1].state == "failed"
