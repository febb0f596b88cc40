"""How often a training is looked at: candidates, sample pictures and the report card, within a share of its time.

What things cost is counted, not timed, so that a training is looked at alike wherever it is given and taken up again.
The unit is the pass of one example through the UNet.
"""

from dataclasses import dataclass
from math import ceil

from storage.contract.recipe import Recipe
from trainer.dreambooth.report_card import CARD_PICTURES, GLANCE_PICTURES, GLANCED, GLANCED_STEPS, IN_EACH, PLACES

FIRST_SHARE = 0.2  # of the steps, at which the first candidate is kept: few subjects are learned before
SAMPLE_AT = (0.25, 0.5, 0.75, 1.0)  # shares of the training after which a sample is drawn
FIRST_SAMPLE_AT = 0.1  # the same where every candidate has one besides
BACKWARD = 3  # passes that one forward and back takes as long as
PASSES = {"class_set": 2 * BACKWARD, "teacher": 2 * BACKWARD + 1, "none": BACKWARD}  # for each example of the subject
GUIDED = 2  # passes of each denoising step of a picture
DECODE = 4  # passes that the VAE takes as long as, for one picture
DRAWN = {"cuda": 0.5, "cpu": 1.25}  # how long a pass of a picture takes beside one of a step, which has more examples


@dataclass(frozen=True)
class EvalSchedule:
    """When a training is looked at."""

    candidates: tuple[int, ...]  # steps after which there is a candidate
    samples: frozenset[int]  # steps after which a sample is drawn
    card: bool  # whether there is a report card at the end


def candidate_steps(steps: int, count: int) -> tuple[int, ...]:
    """Steps at which candidates are taken: evenly from a fifth of a training to its end, which always is one."""
    gaps = max(1, count - 1)
    shares = [1 - (1 - FIRST_SHARE) * k / gaps for k in reversed(range(count))]
    return _at(shares, steps)


def plan_evaluations(
    recipe: Recipe, examined: bool, subjects: int = 1, device: str = "cpu", first_looks: bool = False
) -> EvalSchedule:
    """The evaluation schedule by the recipe, within `looking_share`; `examined` if an evaluator can measure pictures.

    First the report card, as far as it fits, then candidates, two at least, or else samples. Where people are to choose
    there are as many candidates as they have asked for. `first_looks`: the card is set beside one of what is drawn from
    photos alone.
    """
    cost = _Costs(recipe, subjects, DRAWN.get(device, 1.0), len(PLACES) * IN_EACH if first_looks else 0)
    card = examined and recipe.report_card and cost.card + cost.sample <= cost.budget
    left = cost.budget - (cost.card if card else 0) - cost.sample
    if recipe.choose:
        count = recipe.candidates
    elif examined and recipe.candidates > 1:
        # Each candidate has a sample beside its glance; the plain class before is drawn once for all.
        fitting = (left - cost.before) / (cost.glance + cost.sample)
        count = int(min(recipe.candidates, max(0, fitting)))
    else:
        count = 0
    if recipe.choose or count > 1:
        candidates = candidate_steps(recipe.steps, count)
        return EvalSchedule(candidates, frozenset({*candidates, *_at([FIRST_SAMPLE_AT], recipe.steps)}), card)
    samples = int(min(len(SAMPLE_AT), max(1, 1 + left / cost.sample)))
    return EvalSchedule((), frozenset(_at(SAMPLE_AT[-samples:], recipe.steps)), card)


class _Costs:
    """What looking costs in a training of this recipe, and what it may cost together."""

    def __init__(self, recipe: Recipe, subjects: int, drawn: float, first_looks: int) -> None:
        step = PASSES[recipe.prior] * recipe.batch * recipe.accumulation
        share = recipe.looking_share
        # Looking is to be a share s of the whole: b = s · (training + b).
        self.budget = step * recipe.steps * share / (1 - share) if share < 1 else float("inf")
        full, short = (
            subjects * drawn * (GUIDED * ceil(recipe.sample_steps * part) + DECODE) for part in (1, GLANCED_STEPS)
        )
        self.sample, self.card = full, (CARD_PICTURES + first_looks) * full
        self.glance, self.before = GLANCE_PICTURES * short, GLANCED * short


def _at(shares: "list[float] | tuple[float, ...]", steps: int) -> tuple[int, ...]:
    return tuple(sorted({max(1, round(share * steps)) for share in shares}))
