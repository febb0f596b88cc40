"""The recipe that suits a base model: its folder may carry defaults of its own."""

import json
from pathlib import Path

from storage.recipe import Recipe

RECIPE_FILE = "darkroom.json"  # in a base model's folder: what suits it, {"recipe": {…}}, and LoRA on it, {"lora": {…}}
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
