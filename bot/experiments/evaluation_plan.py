"""What is to be evaluated: a TOML file of subjects, and prompts from a preset or a file of one's own.

prompts = "living"                 # object, living, toyworld, a file with a prompt a line, or a list
images = 4                         # of each prompt, as in the paper

[subjects.rex]                     # to be learned
class = "dog"
photos = ["photos/rex"]            # files or folders, as seen from the file

[subjects.mug]                     # learned already, under this name
prompts = "object"

[recipe]
steps = 400
"""

from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bot.arguments import recipe_options
from bot.arguments.arguments import TrainArguments
from bot.arguments.prompts import model_prompt
from bot.arguments.validation import check
from bot.experiments import common
from storage.contract.jobs import SEED_MAX
from storage.contract.recipe import Changes
from storage.contract.subjects import Subject
from storage.errors import UserError

PRESETS = ("object", "living", "toyworld")
Prompts = str | list[str]


class EvaluationSubject(BaseModel):
    """One subject: to be learned if there are photos, else learned already."""

    model_config = ConfigDict(extra="forbid")

    noun: str = Field("", alias="class")
    photos: list[Path] = []
    prompts: Prompts | None = None


class EvaluationPlan(BaseModel):
    """An evaluation, as its file says it."""

    model_config = ConfigDict(extra="forbid")

    subjects: dict[str, EvaluationSubject] = Field(min_length=1)
    prompts: Prompts | None = None
    images: int = Field(4, ge=1, le=16)
    class_images: int = Field(16, ge=2, le=16)
    seed: int = Field(0, ge=0, le=SEED_MAX)
    steps: int = Field(30, ge=1, le=150)
    guidance: float = Field(5.0, ge=1, le=30)
    recipe: dict[str, str | int | float | bool] = {}

    @property
    def changes(self) -> Changes:
        """What is otherwise in the recipe; raises UserError for what no recipe can be."""
        return recipe_options.checked(self.recipe)


def read_plan(path: Path) -> EvaluationPlan:
    """Read an evaluation's file; raises UserError in a sentence if it is none, or asks for what cannot be."""
    plan = common.read_file(path, EvaluationPlan, "evaluation")
    # Everything is checked before the first subject is trained.
    recipe_options.checked(plan.recipe)
    for name, sitter in plan.subjects.items():
        if sitter.photos:
            check(TrainArguments, {"name": name, "class": sitter.noun})
        elif sitter.noun:
            raise UserError(f"{path} gives a class of {name}, but no photos to learn it from.")
    return plan


def prompts_of(plan: EvaluationPlan, name: str, beside: Path, usually: str) -> list[str]:
    """The prompts for one subject of a plan that lies `beside` others; raises UserError for what is no prompt of it."""
    asked = plan.subjects[name].prompts or plan.prompts or usually
    prompts = [" ".join(prompt.split()) for prompt in (asked if isinstance(asked, list) else _lines(asked, beside))]
    if not prompts:
        raise UserError(f"There are no prompts for {name}.")
    for prompt in prompts:
        common.check_prompt(prompt)
    return prompts


def as_model_reads(prompt: str, subject: Subject) -> str:
    """The prompt for the model that learned the subject.

    >>> # of a dog with identifier "zof"
    >>> # "a [V] in Paris" → "a zof dog in Paris"
    """
    return model_prompt(prompt, {"v": subject})


def as_metrics_read(prompt: str, subject: Subject) -> str:
    """The prompt for metric models, which do not know the identifier: "a dog in Paris"."""
    # A metric model would read the identifier as a word of some meaning, and lower every score by it.
    return " ".join(model_prompt(prompt, {"v": subject.model_copy(update={"identifier": ""})}).split())


def _lines(asked: str, beside: Path) -> list[str]:
    try:
        if asked in PRESETS:
            text = (files("bot.experiments") / "evaluation_prompts" / f"{asked}.txt").read_text()
        else:
            text = (beside / asked).read_text()
    except (OSError, ValueError) as error:
        presets = ", ".join(PRESETS)
        raise UserError(f"{asked} is none of the presets {presets}, and no file of prompts: {error}.") from None
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
