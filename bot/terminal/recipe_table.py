"""Recipes for people to read: `darkroom recipe`, and the table of docs/recipes.md."""

from typing import Any

from bot.asking import recipes
from bot.asking.forms import Field, fields
from bot.processes.trainer_process import answer_of
from bot.terminal.screen import Result
from storage.errors import SetupError
from storage.recipe import Recipe
from storage.settings import load_settings

TRAINER_S = 120  # importing PyTorch takes its time, and so does rehearsing a step


async def result(method: str | None, preset: str | None, typed: str) -> Result:
    """The recipe that a training would have here; raises UserError or SetupError in a sentence."""
    settings = load_settings()
    changes = recipes.asked_for(settings, preset, typed)
    if method:
        changes |= recipes.checked({"method": method})
    told = await _of_base_model()
    suited = told["recipes"][changes.get("method", told["method"])]
    recipe = Recipe.model_validate({**suited["recipe"], **changes})
    origins = {"method": told["why"], **suited["origins"], **dict.fromkeys(changes, "as asked")}
    rows = [_row(field, getattr(recipe, field.name), origins) for field in fields(Recipe)]
    known = recipes.presets(settings.recipes_folder)
    there = f"Presets: {', '.join(known)}." if known else f"No presets in {settings.recipes_folder}."
    return Result(
        state="done",
        message=f"How {settings.base_model} would learn a subject. {there}\n",
        more={"recipe": recipe.model_dump(), "rows": rows, "presets": known},
        table={row["name"]: f"{row['value']}\n{row['meaning']} ({row['limits']}; {row['from']})\n" for row in rows},
    )


async def _of_base_model() -> dict[str, Any]:
    """The recipes that suit the base model, by method, and which method this machine takes, as a trainer tells it."""
    try:
        told: dict[str, Any] = await answer_of("--recipe", TRAINER_S)
    except TimeoutError:
        raise SetupError(f"The trainer does not answer within {TRAINER_S} s.") from None
    except SetupError as error:
        raise SetupError(f"The trainer does not say what suits the base model: {error}") from error
    return told


def _row(field: Field, value: Any, origins: dict[str, str]) -> dict[str, str]:
    told = {"meaning": field.meaning, "limits": _limits(field), "from": origins.get(field.name, "usual")}
    return {"name": field.name, "value": str(value), **told}


def _limits(field: Field) -> str:
    """What a field may be."""
    if field.choices:
        return ", ".join(field.choices)
    if field.minimum is None or field.maximum is None:
        return "true or false"
    return f"{field.minimum:g} to {field.maximum:g}"


def rows() -> list[str]:
    """The lines of the table in the docs."""
    known = fields(Recipe)
    return [f"| `{field.name}` | {field.meaning} | {_limits(field)} | {field.usual} |\n" for field in known]
