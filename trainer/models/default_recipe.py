"""The recipe that suits a base model: its folder may carry defaults of its own, and else those of its family hold."""

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pydantic import ValidationError

from storage.contract.jobs import STEPS_MAX, Method
from storage.contract.recipe import Changes, Recipe
from storage.errors import SetupError, UserError
from trainer.models.darkroom_json import beside, drawing_of
from trainer.models.diffusers_layout import RECIPE_FILE
from trainer.models.families import family_of
from trainer.models.family import Family

if TYPE_CHECKING:
    from trainer.models.base import BaseModel

FEW, MANY = 4, 8  # photos: a recipe is made for as many as from the one to the other
CROPS_MOST = 32  # as the recipe has it
RATES = ("learning_rate", "text_learning_rate")  # which are right for one method alone
FULL = " In full, each of its billions of weights would take 16 bytes: with its gradient and AdamW's moments."
SUITS = "as suits the base model"


class RecipeSource(NamedTuple):
    """What is told of a recipe, and by whom."""

    values: Changes
    origins: dict[str, str]


def recipe_for(base_folder: Path, **changes: int | float | str | bool | None) -> Recipe:
    """Return the recipe that suits the base model in `base_folder`, with `changes` that are not None.

    Without a method among them it is the usual one; memory is not looked at. Raises pydantic's ValidationError for what
    is outside its limits.
    """
    asked = {name: value for name, value in changes.items() if value is not None}
    method: Any = asked.get("method") or default_method(base_folder)[0] or "full"
    suited = defaults_for(base_folder, method)
    return Recipe(**{**suited.values, **asked})


def check_recipe(recipe: Recipe, family: Family) -> None:
    """Raise UserError for a recipe by which a family cannot be trained."""
    if recipe.method not in family.defaults:
        methods = " or ".join(family.defaults)
        full = FULL if recipe.method == "full" else ""
        raise UserError(f"{family.name} cannot be trained with method={recipe.method}: take {methods}.{full}")
    for name, why in family.unfit.items():
        if getattr(recipe, name):
            sentence = why.format(family=family.name)
            raise UserError(f"{sentence[0].upper()}{sentence[1:]}: set {name}=0.")


def check_recipe_here(recipe: Recipe, base: "BaseModel") -> None:
    """The same for a base model as it is loaded here."""
    check_recipe(recipe, base.family)
    if recipe.method == "full" and not base.learns_in_full:
        raise UserError(
            "Here the base model is quantised, or lies in the machine's memory in part (DARKROOM_BASE_WEIGHTS, "
            "DARKROOM_OFFLOAD), so it cannot be trained with method=full: take lora."
        )


def default_method(base_folder: Path) -> tuple[Method | None, str]:
    """The method of a base model where nobody asks for one, and why; None where it is full if there is memory for it.

    Raises SetupError if the file beside it names another one.
    """
    if method := beside(base_folder).get("recipe", {}).get("method"):
        if method not in get_args(Method):
            raise SetupError(f"{base_folder / RECIPE_FILE} names the method {method}; there are full and lora.")
        return method, SUITS
    family = family_of(base_folder)
    return family.method, f"usual for {family.name}"


def defaults_for(base_folder: Path, method: Method) -> RecipeSource:
    """What the family of a base model and the file beside it tell of a recipe for one method.

    Learning rates in the file are those of the method that it names, full if it names none.
    """
    family, settings = family_of(base_folder), beside(base_folder)
    published = (family.defaults.get(method) or next(iter(family.defaults.values())))._asdict()
    usual = {name: value for name, value in published.items() if value is not None}
    of_all = {**_as_drawn(base_folder), **settings.get("recipe", {})}
    if of_all.pop("method", "full") != method:
        of_all = {name: value for name, value in of_all.items() if name not in RATES}
    suited = {**of_all, **(settings.get("lora", {}) if method == "lora" else {})}
    origins = dict.fromkeys(usual, f"usual for {family.name}") | dict.fromkeys(suited, SUITS)
    return RecipeSource({**usual, **suited, "method": method}, origins)


def _as_drawn(base_folder: Path) -> dict[str, Any]:
    """The recipe's own pictures are drawn as the base model draws where nobody asks for anything else."""
    drawing = drawing_of(base_folder)
    how = {
        "steps": drawing.steps and min(drawing.steps, 100),
        "guidance": drawing.guidance and min(drawing.guidance, 20),
    }
    return {f"{what}_{name}": value for what in ("class", "sample") for name, value in how.items() if value}


def for_photos(recipe: Recipe, photos: int, asked: Container[str] = ()) -> Recipe:
    """The recipe for so many photos that differ; what was `asked` for by name stays.

    Few are cut out of in more ways, or what stands beside the subject in them is learned with it. Many have more steps,
    or each is seen too seldom.
    """
    changes = {
        "crops": min(CROPS_MOST, recipe.crops * -(-FEW // photos)) if photos < FEW else recipe.crops,
        "steps": min(STEPS_MAX, recipe.steps * photos // MANY) if photos > MANY else recipe.steps,
    }
    return recipe.model_copy(update={name: value for name, value in changes.items() if name not in asked})


def for_several(recipe: Recipe, subjects: int) -> Recipe:
    """The recipe of as many subjects together: they take turns at each step, and each is to have its own steps.

    Raises UserError where that is more than a training may have, or where people are to choose.
    """
    if subjects > 1 and recipe.choose:
        raise UserError("People can choose between candidates of one subject alone: leave out choose=true.")
    steps = {"steps": recipe.steps * subjects, "text_steps": recipe.text_steps * subjects}
    try:
        return Recipe(**{**recipe.model_dump(), **steps})
    except ValidationError as error:
        raise UserError(
            f"{subjects} subjects take {steps['steps']:,} steps together, which is more than a training may have: "
            f"its limit is {STEPS_MAX:,}. Ask for {STEPS_MAX // subjects} steps each at most, or for fewer subjects."
        ) from error
