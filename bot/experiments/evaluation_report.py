"""What an evaluation leaves to look at: a table in Markdown, and a contact sheet of each subject."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from PIL import Image, ImageOps

from bot.delivery.contact_sheet import TILE_PX, SheetRow
from storage.contract.evaluation import Figures

COLUMNS = {
    "dino": "DINO",
    "clip_i": "CLIP-I",
    "clip_t": "CLIP-T",
    "judge_i": "judge-I",
    "judge_t": "judge-T",
    "pres": "PRES",
    "pres_before": "PRES before",
    "div": "DIV",
    "div_class": "DIV class",
    "div_class_before": "DIV class before",
}
ABREAST = 8  # pictures in a row of a contact sheet
METERS = {"dino": "DINO", "clip": "CLIP", "judge": "Toyworld's judge"}
# Ruiz et al. 2022, arXiv 2208.12242, table 1: 30 subjects, 25 prompts each, 4 pictures of each prompt
PAPER = {
    "the paper, Stable Diffusion": {"dino": 0.668, "clip_i": 0.803, "clip_t": 0.305},
    "the paper, real photos": {"dino": 0.774, "clip_i": 0.885},
}
OF_PRIOR = (
    "The paper's own PRES, by DINO, is 0.493 with prior preservation and 0.664 without; its DIV, 0.391 and 0.371, is "
    "made with LPIPS and cannot be compared. Both are of Imagen."
)
OF_JUDGE = (
    "judge-I and judge-T are Toyworld's judge in place of DINO or CLIP-I and of CLIP-T: they compare Toyworld's "
    "subjects with each other, and nothing with the paper."
)


def means(of: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over those that have it, in the order of the columns."""
    return {k: round(mean(each[k] for each in of if k in each), 4) for k in COLUMNS if any(k in each for each in of)}


def table(figures: dict[str, Figures], failed: dict[str, str]) -> str:
    """The figures of each subject and their means, as a table in Markdown, and what they may be compared with."""
    mean_of = means([each.mean for each in figures.values()])
    rows = {name: each.mean for name, each in figures.items()}
    rows |= {"**mean**": mean_of, "photos with each other": means([each.photos for each in figures.values()])}
    by_paper = {"dino", "clip_i"} & mean_of.keys()
    rows |= PAPER if by_paper else {}
    names = ["", *(COLUMNS[key] for key in mean_of)]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for name, row in rows.items():
        lines.append(f"| {' | '.join([name, *(f'{row[key]:.3f}' if key in row else '' for key in mean_of)])} |")
    lines += [f"| {name} | {why} |" for name, why in failed.items()]
    prior_by = METERS.get(next((each.prior_by for each in figures.values()), ""), "")
    notes = [f"PRES and both kinds of DIV are by {prior_by}; DIV is 1 − cosine, not LPIPS."] if prior_by else []
    notes += [OF_PRIOR] if by_paper else []
    notes += [OF_JUDGE] if "judge_i" in mean_of else []
    return "\n".join(lines) + "\n" + "".join(f"\n{sentence}\n" for sentence in notes)


def sheet_rows(
    photos: list[Path], prompts: list[str], drawn: Sequence[Sequence[Path]], figures: Figures
) -> list[SheetRow]:
    """Rows for a contact sheet: photos, then each prompt with its figures, then the plain class before and after."""
    of_prompts = [f"{prompt}  {_in_words(each)}" for prompt, each in zip(prompts, figures.prompts, strict=True)]
    titles = [*of_prompts, "its class, before it was learned", "and after"]
    rows = [("photos", photos), *zip(titles, drawn, strict=True)]
    return [SheetRow("", title, [_open(p) for p in paths]) for title, all_of in rows for paths in _wrapped(all_of)]


def _wrapped(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[first : first + ABREAST] for first in range(0, len(paths), ABREAST))


def _in_words(figures: dict[str, float]) -> str:
    return ", ".join(f"{COLUMNS[key]} {value:.2f}" for key, value in figures.items() if key != "div")


def _open(path: Path) -> Image.Image:
    """A picture small enough that hundreds of them fit into memory."""
    with Image.open(path) as image:
        return ImageOps.contain(image.convert("RGB"), (TILE_PX, TILE_PX))
