"""What lies beside a base model's weights for Darkroom: `darkroom.json`, with its recipe and how it draws. No torch.

A distilled model draws in a few steps and without guidance; where its files tell that it is one, that is taken for
usual unless `darkroom.json` says otherwise.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from storage.errors import SetupError
from trainer.models.diffusers_layout import RECIPE_FILE
from trainer.models.families import family_of
from trainer.models.family import DrawingDefaults


class Distilled(NamedTuple):
    """What a distilled model is, by which sign, and how such a model draws."""

    kind: str
    sign: str
    drawing: DrawingDefaults


KINDS = {  # by words in names
    "turbo": ("Turbo", DrawingDefaults(steps=4, guidance=1, scheduler="euler-a")),
    "lightning": ("Lightning", DrawingDefaults(steps=8, guidance=1, scheduler="euler")),
    "lcm": ("LCM", DrawingDefaults(steps=8, guidance=1)),
    "hyper": ("Hyper-SD", DrawingDefaults(steps=8, guidance=1, scheduler="ddim")),
    "dmd": ("DMD2", DrawingDefaults(steps=4, guidance=1)),
    "tcd": ("TCD", DrawingDefaults(steps=8, guidance=1, scheduler="ddim")),
    "pcm": ("PCM", DrawingDefaults(steps=4, guidance=1, scheduler="ddim")),
}
NAMED = re.compile(
    r"(?<![a-z])(?:(?:sd|sdxl|xl)?(?P<kind>turbo|lightning|lcm|dmd|tcd|pcm)2?(?:sd|sdxl|xl)?"
    r"|(?P<hyper>hyper)[-_ ]?(?:sd|sdxl)\w*)(?![a-z])",
    re.I,
)
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-zA-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # where words meet: v50LightningBakedVae
IN_STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?(?![a-z])", re.I)
SCHEDULERS = {"LCMScheduler": "lcm", "TCDScheduler": "hyper"}
NAME_ENTRIES = ("modelspec.title", "modelspec.architecture", "ss_output_name", "ss_sd_model_name")  # of metadata


def beside(folder: Path) -> dict[str, Any]:
    """What `darkroom.json` in a base model's folder says; nothing if there is none. Raises SetupError."""
    path = folder / RECIPE_FILE
    try:
        settings = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise SetupError(f"{path} is damaged: {error}.") from error
    if not isinstance(settings, dict):
        raise SetupError(f"{path} is damaged: it holds no settings.")
    return settings


def drawing_of(folder: Path) -> DrawingDefaults:
    """How a base model draws where a person asks for nothing else; raises SetupError for a file that is wrong."""
    try:
        defaults = DrawingDefaults.model_validate(beside(folder).get("drawing", {}))
    except ValidationError as error:
        where = ".".join(map(str, ("drawing", *error.errors()[0]["loc"])))
        raise SetupError(f"{folder / RECIPE_FILE} does not work: {where}: {error.errors()[0]['msg']}.") from error
    return DrawingDefaults(**{**_given(usual_drawing(folder, distilled(folder))), **_given(defaults)})


def usual_drawing(folder: Path, distillation: Distilled | None) -> DrawingDefaults:
    """How a base model draws as its family does, or as is usual for its kind of distillation."""
    of_family = family_of(folder).drawing(folder, distillation is not None)
    return of_family or (distillation.drawing if distillation else DrawingDefaults())


def distilled(folder: Path, *names: str) -> Distilled | None:
    """Tell whether a model in diffusers' layout is distilled, by its files, its folder and other `names` of it."""
    scheduler = _settings(folder / "scheduler" / "scheduler_config.json")
    if kind := SCHEDULERS.get(str(scheduler.get("_class_name"))):
        return Distilled(KINDS[kind][0], f"its scheduler is {scheduler['_class_name']}", KINDS[kind][1])
    of_hub = [part for part in folder.parts if part.startswith("models--")]
    configs = [folder / "model_index.json", *sorted(folder.glob("*/config.json"))]
    names_or_paths = [_settings(path).get("_name_or_path") for path in configs]
    for name in (*names, *filter(None, names_or_paths), *of_hub, folder.name):
        if match := by_name(str(name)):
            return match
    return None


def by_name(name: str) -> Distilled | None:
    """Tell by one of a model's names whether it is distilled, and for how many steps."""
    # As it is written, too: SDXL is one word, and none of the borders that capitals show.
    written = name.rpartition("/")[2]
    if not (match := NAMED.search(written) or NAMED.search(WORDS.sub("_", written))):
        return None
    kind, drawing = KINDS[(match["kind"] or match["hyper"]).lower()]
    if steps := IN_STEPS.search(WORDS.sub("_", name)):
        drawing = drawing.model_copy(update={"steps": max(1, int(steps[1]))})
    return Distilled(kind, f"{name} names it so", drawing)


def draws_from_the_end(folder: Path) -> bool:
    """Whether a model's scheduler begins at the very last step, as those of distilled models do, and others seldom."""
    scheduler = _settings(folder / "scheduler" / "scheduler_config.json")
    return scheduler.get("timestep_spacing") == "trailing" and not scheduler.get("rescale_betas_zero_snr")


def _given(drawing: DrawingDefaults) -> dict[str, Any]:
    return drawing.model_dump(exclude_none=True)


def _settings(path: Path) -> dict[str, Any]:
    """Settings that are there for a look only: none where they cannot be read, which others say."""
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}
