"""Recipes for people to read: `darkroom recipe`, and the table of docs/recipes.md."""

from typing import Any, NamedTuple

from bot.asking import prompts, recipes
from bot.asking.forms import Field, fields
from bot.processes.trainer_process import answer_of
from bot.terminal.screen import Result
from bot.web.chat import SPACE
from storage.errors import SetupError, UserError
from storage.opening import open_store
from storage.recipe import Changes, Recipe
from storage.settings import load_settings
from storage.subjects import Subjects

TRAINER_S = 60  # importing PyTorch takes its time


class Asked(NamedTuple):
    """What is to be otherwise than what suits the base model."""

    method: str | None
    preset: str | None
    typed: str


async def result(name: str | None, asked: Asked) -> Result:
    """A recipe: that of a subject, or what a training would have here; raises UserError or SetupError in a sentence."""
    if name is None:
        return await _would_be(asked)
    if any(asked):
        raise UserError(f"The recipe of {name} is what it was: leave out --method, --recipe and --set.")
    return await _of_subject(name)


async def _of_subject(name: str) -> Result:
    """The recipe that is stored with a subject."""
    subject = prompts.by_name(name, await Subjects(await open_store(load_settings())).in_space(SPACE))
    if not subject.recipe:
        raise UserError(f"{subject.name} has no recipe: it {'is not ready' if subject.photos else 'was imported'}.")
    known = [field for field in fields(Recipe) if field.name in subject.recipe]
    rows = [_row(field, subject.recipe[field.name], f"as {subject.name} was learned") for field in known]
    return _told(f"How {subject.name} was learned, from {subject.base_model}.", rows, {"recipe": subject.recipe})


async def _would_be(asked: Asked) -> Result:
    """The recipe that a training would have here."""
    settings = load_settings()
    changes = recipes.asked_for(settings, asked.preset, asked.typed)
    if asked.method:
        changes |= recipes.checked({"method": asked.method})
    suited = (await _of_base_model())[str(changes.get("method", "full"))]
    recipe = Recipe.model_validate({**suited, **changes})
    rows = [_row(field, getattr(recipe, field.name), _origin(field, suited, changes)) for field in fields(Recipe)]
    known = recipes.presets(settings.recipes_folder)
    there = f"Presets: {', '.join(known)}." if known else f"No presets in {settings.recipes_folder}."
    about = f"How {settings.base_model} would learn a subject. {there}"
    return _told(about, rows, {"recipe": recipe.model_dump(), "presets": known})


def _told(message: str, rows: list[dict[str, str]], more: dict[str, Any]) -> Result:
    table = {row["name"]: f"{row['value']}\n{row['meaning']} ({row['limits']}; {row['from']})\n" for row in rows}
    return Result(state="done", message=f"{message}\n", more={**more, "rows": rows}, table=table)


async def _of_base_model() -> dict[str, Changes]:
    """The recipes that suit the base model, by method, from a process that has the trainer."""
    try:
        told: dict[str, Changes] = await answer_of("--recipe", TRAINER_S)
    except TimeoutError:
        raise SetupError(f"The trainer does not answer within {TRAINER_S} s.") from None
    except SetupError as error:
        raise SetupError(f"The trainer does not say what suits the base model: {error}") from error
    return told


def _row(field: Field, value: Any, origin: str) -> dict[str, str]:
    told = {"meaning": field.meaning, "limits": _limits(field), "from": origin}
    return {"name": field.name, "value": str(value), **told}


def _origin(field: Field, suited: Changes, changes: Changes) -> str:
    """Where a number comes from."""
    if field.name in changes:
        return "as asked"
    return "as suits the base model" if suited[field.name] != Recipe.model_fields[field.name].default else "usual"


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
