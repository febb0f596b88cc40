"""How often a training is looked at: as the recipe says where there is time for it, and less in short ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.contract.recipe import Recipe
from trainer.dreambooth.eval_schedule import DECODE, DRAWN, GUIDED, EvalSchedule, plan_evaluations
from trainer.models.default_recipe import recipe_for
from trainer.models.local_files import TOYWORLD_FOLDER


def passes(looks: EvalSchedule, recipe: Recipe) -> float:
    """What looking costs beside a training, counted anew: passes of one example through the UNet."""
    picture = GUIDED * recipe.sample_steps + DECODE
    glanced = GUIDED * -(-recipe.sample_steps * 6 // 10) + DECODE
    glances = 10 * len(looks.candidates) + (6 if looks.candidates else 0)
    return DRAWN["cpu"] * (picture * (len(looks.samples) + (28 if looks.card else 0)) + glanced * glances)


RECIPES = st.builds(
    Recipe,
    steps=st.integers(20, 4000),
    batch=st.integers(1, 8),
    sample_steps=st.integers(5, 50),
    candidates=st.integers(1, 12),
    looking_share=st.floats(0, 0.9),
)


@settings(deadline=None)
@given(RECIPES)
def test_looking_takes_no_more_than_its_share(recipe: Recipe) -> None:
    looks, training = plan_evaluations(recipe, examined=True), 6 * recipe.batch * recipe.steps
    cost = passes(looks, recipe)
    one_sample = DRAWN["cpu"] * (GUIDED * recipe.sample_steps + DECODE)  # which there is always
    assert cost <= one_sample or cost / (training + cost) <= recipe.looking_share + 0.01
    assert recipe.steps in looks.samples and len(looks.candidates) != 1


@pytest.mark.parametrize(
    ("steps", "candidates", "card", "samples"),
    [(800, 9, True, 10), (400, 3, True, 4), (60, 0, False, 4), (5, 0, False, 1)],
)
def test_toyworld_is_looked_at_as_there_is_time(steps: int, candidates: int, card: bool, samples: int) -> None:
    looks = plan_evaluations(recipe_for(TOYWORLD_FOLDER, steps=steps), examined=True)
    assert (len(looks.candidates), looks.card, len(looks.samples)) == (candidates, card, samples)
    whole = plan_evaluations(recipe_for(TOYWORLD_FOLDER, steps=steps, looking_share=1), examined=True)
    assert whole.card and whole.candidates[-1] == steps


def test_without_anybody_who_measures_there_are_samples_and_what_people_choose_from() -> None:
    looks = plan_evaluations(Recipe(steps=400), examined=False)
    assert looks == EvalSchedule((), frozenset({100, 200, 300, 400}), card=False)
    chosen = plan_evaluations(Recipe(steps=20, candidates=3, choose=True), examined=False)
    assert chosen.candidates == (4, 12, 20)
