"""Recipes for people to read: `darkroom recipe`, and the table of docs/recipes.md."""

import asyncio
import json
import sys
from typing import Any

from pydantic.fields import FieldInfo

from bot import recipes
from bot.forms import fields
from bot.terminal import Result
from storage.errors import SetupError
from storage.recipe import Changes, Recipe
from storage.settings import load_settings

TRAINER_S = 60  # importing PyTorch takes its time


async def result(method: str | None, preset: str | None, typed: str) -> Result:
    """The recipe that a training would have here; raises UserError or SetupError in a sentence."""
    settings = load_settings()
    changes = recipes.asked_for(settings, preset, typed)
    if method:
        changes |= recipes.checked({"method": method})
    suited = (await _of_base_model())[str(changes.get("method", "full"))]
    recipe = Recipe.model_validate({**suited, **changes})
    rows = [_row(name, value, suited, changes) for name, value in recipe.model_dump().items()]
    known = recipes.presets(settings.recipes_folder)
    there = f"Presets: {', '.join(known)}." if known else f"No presets in {settings.recipes_folder}."
    return Result(
        state="done",
        message=f"How {settings.base_model} would learn a subject. {there}\n",
        more={"recipe": recipe.model_dump(), "rows": rows, "presets": known},
        table={row["name"]: f"{row['value']}\n{row['meaning']} {row['limits']}; {row['from']}\n" for row in rows},
    )


async def _of_base_model() -> dict[str, Changes]:
    """The recipes that suit the base model, by method, from a process that has the trainer."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trainer", "--recipe"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), TRAINER_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        why = (err.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise SetupError(f"The trainer does not say what suits the base model: {why}")
    told: dict[str, Changes] = json.loads(out.decode().strip().splitlines()[-1])
    return told


def _row(name: str, value: Any, suited: Changes, changes: Changes) -> dict[str, str]:
    field = Recipe.model_fields[name]
    origin = "as asked" if name in changes else "as suits the base model" if suited[name] != field.default else "usual"
    return {"name": name, "value": str(value), "meaning": _meaning(field), "limits": _limits(name), "from": origin}


def _meaning(field: FieldInfo) -> str:
    return f"{field.description}"


def _limits(name: str) -> str:
    """What a field may be, in brackets."""
    declared = next(field for field in fields(Recipe) if field.name == name)
    if declared.choices:
        return f"({', '.join(declared.choices)})"
    if declared.minimum is None and declared.maximum is None:
        return "(true or false)"
    return f"({declared.minimum or 0:g} to {declared.maximum:g})"


def rows() -> list[str]:
    """The lines of the table in the docs."""
    lines = []
    for name, field in Recipe.model_fields.items():
        lines.append(f"| `{name}` | {_meaning(field)} | {_limits(name).strip('()')} | {field.default} |\n")
    return lines
