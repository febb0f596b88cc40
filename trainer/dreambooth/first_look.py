"""The first look at a subject beside what was learned of it: pictures in places from the same prompts and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from storage.contract.photo_source import called_by_photos
from trainer.diffusion import sampling
from trainer.diffusion.row_adapters import Drawer
from trainer.dreambooth.candidate_sheet import TILE_MOST_PX
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.report_card import IN_EACH, PLACES, SEED, ReportCard, SubjectEvaluator
from trainer.models.base import BaseModel
from trainer.steps import Steps


@dataclass(frozen=True)
class Comparison:
    """What was measured of the first look, if anybody could, and a sheet: above from photos alone, below as learned."""

    measures: dict[str, float]
    sheet: Image.Image


def compare(
    base: BaseModel,
    who: SubjectSpec,
    denoiser: Drawer,
    references: Sequence[Tensor],
    measured: tuple[SubjectEvaluator, ReportCard] | None,
    **how: Any,
) -> Steps[Comparison]:
    """Draw a subject from the latents of its photos, beside pictures by the `denoiser` that has learned it.

    `measured` has its report card and who made it; `how` to draw as `sampling.Denoising`.
    """
    if measured:
        evaluator, card = measured
        measures, before = yield from evaluator.first_look(references)
        return Comparison(measures, _sheet(before[::IN_EACH], card.in_places[::IN_EACH]))
    before = yield from _in_places(base, base.denoiser, called_by_photos(who.noun), references=references, **how)
    after = yield from _in_places(base, denoiser, f"a {who.identifier} {who.noun}", **how)
    return Comparison({}, _sheet(before, after))


def _in_places(base: BaseModel, denoiser: Drawer, called: str, **how: Any) -> Steps[list[Image.Image]]:
    prompts = [f"{called} {place}" for place in PLACES]
    # one at a time: references lengthen each row several times
    return (yield from sampling.draw_steps(base, denoiser, prompts, [SEED] * len(PLACES), 1, **how))


def _sheet(before: list[Image.Image], after: list[Image.Image]) -> Image.Image:
    for picture in (*before, *after):
        picture.thumbnail((TILE_MOST_PX, TILE_MOST_PX))
    return sampling.grid([*before, *after], columns=len(before))
