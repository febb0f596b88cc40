"""The recipe that suits a base model: its folder may carry defaults of its own."""

import json
from collections.abc import Container
from pathlib import Path

from pydantic import ValidationError

from storage.errors import UserError
from storage.recipe import Recipe

RECIPE_FILE = "darkroom.json"  # in a base model's folder: what suits it, {"recipe": {…}}, and LoRA on it, {"lora": {…}}
FEW, MANY = 4, 8  # photos: a recipe is made for as many as from the one to the other
CROPS_MOST, STEPS_MOST = 32, 4000  # as the recipe has them
SUITS_LORA = {"learning_rate": 1e-4, "text_learning_rate": 5e-5}


def recipe_for(base_folder: Path, **changes: int | float | str | bool | None) -> Recipe:
    """Return the recipe that suits the base model in `base_folder`, with `changes` that are not None.

    Raises pydantic's ValidationError for what is outside its limits.
    """
    path = base_folder / RECIPE_FILE
    told = json.loads(path.read_text()) if path.exists() else {}
    suited = told.get("recipe", {})
    if changes.get("method") == "lora":
        suited |= SUITS_LORA | told.get("lora", {})
    return Recipe(**{**suited, **{k: v for k, v in changes.items() if v is not None}})


def for_photos(recipe: Recipe, photos: int, asked: Container[str] = ()) -> Recipe:
    """The recipe for so many photos that differ; what was `asked` for by name stays.

    Few are cut out of in more ways, or what stands beside the subject in them is learned with it. Many have more steps,
    or each is seen too seldom.
    """
    changes = {
        "crops": min(CROPS_MOST, recipe.crops * -(-FEW // photos)) if photos < FEW else recipe.crops,
        "steps": min(STEPS_MOST, recipe.steps * photos // MANY) if photos > MANY else recipe.steps,
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
            f"its limit is 4,000. Ask for {4000 // subjects} steps each at most, or for fewer subjects."
        ) from error
