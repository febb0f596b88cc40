"""What people choose a candidate by: a sheet of pictures, a row for each, from the same prompts and seeds."""

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from trainer.diffusion import sampling
from trainer.dreambooth.candidates import Candidates
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import instance_prompt
from trainer.dreambooth.report_card import PLACES, SEED
from trainer.dreambooth.weights import save
from trainer.protocol import CandidateReport
from trainer.steps import Steps

PER_ROW = 4  # pictures: a portrait, and some places
TILE_MOST_PX = 512  # a side: twelve rows of larger ones would be more than chats take
MARGIN_SHARE = 0.5  # of a picture's side, for the number of steps at its left


def lay_out(
    candidates: Candidates, who: SubjectSpec, folder: Path, **how: Any
) -> Steps[tuple[tuple[CandidateReport, ...], Path]]:
    """Write the weights of each candidate and the sheet; `how` to draw as `sampling.Denoising`."""
    prompts = [instance_prompt(who.identifier, who.noun)]
    prompts += [f"a {who.identifier} {who.noun} {place}" for place in PLACES[: PER_ROW - 1]]
    choices, rows = [], []
    for candidate in candidates.seen:
        assert candidate.weights is not None  # all are kept where there is a choice
        path = folder / f"candidate-{candidate.step:06d}.safetensors"
        save(path, candidate.weights)
        choices.append(CandidateReport(step=candidate.step, weights=str(path), measures=candidate.measures))
        denoiser = candidates.denoiser_of(candidate)
        drawn = yield from sampling.draw_steps(candidates.base, denoiser, prompts, [SEED] * PER_ROW, **how)
        rows.append(labelled(str(candidate.step), drawn))
    sheet = folder / "choices.png"
    sampling.grid(rows, columns=1).save(sheet)
    return tuple(choices), sheet


def labelled(label: str, pictures: list[Image.Image]) -> Image.Image:
    """A row of pictures with a few words at its left."""
    for picture in pictures:
        picture.thumbnail((TILE_MOST_PX, TILE_MOST_PX))
    row = sampling.grid(pictures, columns=len(pictures))
    margin_px = round(MARGIN_SHARE * row.height)
    out = Image.new("RGB", (margin_px + row.width, row.height), "white")
    out.paste(row, (margin_px, 0))
    font = ImageFont.load_default(max(10, margin_px // 3))
    ImageDraw.Draw(out).text((margin_px / 2, row.height / 2), label, "black", font, anchor="mm")
    return out
