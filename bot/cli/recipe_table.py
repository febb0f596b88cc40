"""Recipes for people to read: `darkroom recipe`, and the table of docs/recipes.md."""

from typing import Any, NamedTuple

from bot.arguments import prompts, recipe_options
from bot.arguments.forms import Field, fields
from bot.connectors.terminal.screen import CommandResult
from bot.core.local_space import PERSON, SPACE
from bot.core.policy import visible_to
from bot.local.trainer_process import answer_of
from storage.contract.recipe import Recipe
from storage.contract.subject_repository import Subjects
from storage.errors import SetupError, UserError
from storage.objects.open import open_store
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings

TRAINER_S = 120  # importing PyTorch takes its time, and so does rehearsing a step


class RecipeQuery(NamedTuple):
    """What is to be otherwise than what suits the base model."""

    method: str | None
    preset: str | None
    typed: str


async def result(name: str | None, asked: RecipeQuery) -> CommandResult:
    """A recipe: that of a subject, or what a training would have here; raises UserError or SetupError in a sentence."""
    if name is None:
        return await _would_be(asked)
    if any(asked):
        raise UserError(f"The recipe of {name} cannot be changed: leave out --method, --recipe and --set.")
    return await _of_subject(name)


async def _of_subject(name: str) -> CommandResult:
    """The recipe that is stored with a subject."""
    there = await Subjects(await open_store(load_settings(BotSettings), short=True)).in_space(SPACE)
    subject = prompts.by_name(name, visible_to(PERSON.actor, there))
    if not subject.recipe:
        raise UserError(f"{subject.name} has no recipe: it {'is not ready' if subject.photos else 'was imported'}.")
    known = [field for field in fields(Recipe) if field.name in subject.recipe]
    rows = [_row(field, subject.recipe[field.name], f"as {subject.name} was learned") for field in known]
    return _table_result(
        f"How {subject.name} was learned, from {subject.base_model}.", rows, {"recipe": subject.recipe}
    )


async def _would_be(asked: RecipeQuery) -> CommandResult:
    """The recipe that a training would have here."""
    settings = load_settings(BotSettings)
    changes = recipe_options.asked_for(settings, asked.preset, asked.typed)
    if asked.method:
        changes |= recipe_options.checked({"method": asked.method})
    answer = await _of_base_model()
    suited = answer["recipes"][changes.get("method", answer["method"])]
    recipe = Recipe.model_validate({**suited["recipe"], **changes})
    origins = {"method": answer["why"], **suited["origins"], **dict.fromkeys(changes, "as asked")}
    rows = [_row(f, getattr(recipe, f.name), origins.get(f.name, "usual")) for f in fields(Recipe)]
    known = recipe_options.presets(settings.recipes_folder)
    there = f"Presets: {', '.join(known)}." if known else f"No presets in {settings.recipes_folder}."
    about = f"How {settings.base_model} would learn a subject. {there}"
    return _table_result(about, rows, {"recipe": recipe.model_dump(), "presets": known})


def _table_result(message: str, rows: list[dict[str, str]], more: dict[str, Any]) -> CommandResult:
    table = {row["name"]: f"{row['value']}\n{row['meaning']} ({row['limits']}; {row['from']})\n" for row in rows}
    return CommandResult(state="done", message=f"{message}\n", more={**more, "rows": rows}, table=table)


async def _of_base_model() -> dict[str, Any]:
    """The recipes that suit the base model, by method, and which method this machine takes, as a trainer tells it."""
    try:
        answer: dict[str, Any] = await answer_of("--recipe", TRAINER_S)
    except TimeoutError:
        raise SetupError(f"The trainer does not answer within {TRAINER_S} s.") from None
    except SetupError as error:
        raise SetupError(f"The trainer cannot tell the recipe of the base model: {error}") from error
    return answer


def _row(field: Field, value: Any, origin: str) -> dict[str, str]:
    row = {"meaning": field.meaning, "limits": _limits(field), "from": origin}
    return {"name": field.name, "value": str(value), **row}


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
