"""Recipes as people ask for them: a preset by its name, and changes typed as `batch=2 rank=32`.

A preset is a TOML file in the folder of DARKROOM_RECIPES, `gentle.toml` say, with lines like `learning_rate = 1e-6`
and, for those who look, a `description`. Whoever runs the bot writes them; they hold for every base model and chat.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from bot.arguments.validation import problems
from storage.contract.recipe import Changes, Recipe
from storage.errors import UserError
from storage.settings.bot import BotSettings

DESCRIPTION = "description"
ALIASES = {  # what other trainers call it, but for `lr` and `text_encoder`, which are spelled out first
    "unet_learning_rate": "learning_rate",
    "learning_rate_scheduler": "schedule",
    "learning_rate_warmup_steps": "warmup_steps",
    "max_train_steps": "steps",
    "batch_size": "batch",
    "train_batch_size": "batch",
    "gradient_accumulation_steps": "accumulation",
    "max_grad_norm": "gradient_clip",
    "prior_loss_weight": "prior_weight",
    "num_class_images": "class_images",
    "optimizer_type": "optimizer",
    "optimizer_name": "optimizer",
    "mixed_precision": "precision",
}


def asked_for(settings: BotSettings, preset: str | None, typed: str) -> Changes:
    """The changes of a preset and those that were typed, which win; raises UserError with a sentence per problem."""
    return merged(settings.recipes_folder, preset, parsed(typed))


def parsed(typed: str) -> dict[str, str]:
    """Read `name=value` pairs with spaces or commas between them; raises UserError for anything else.

    >>> parsed("batch=2, rank=32")
    {'batch': '2', 'rank': '32'}
    """
    pairs = [pair.partition("=") for pair in typed.replace(",", " ").split()]
    for name, equals, value in pairs:
        if not (name and equals and value):
            given = f"{name}{equals}{value}"[:40]
            raise UserError(f"Write changes of the recipe as NAME=VALUE, like batch=2 rank=32; not {given}.")
    return {name: value for name, _, value in pairs}


def merged(folder: Path, preset: str | None, changes: Mapping[str, object]) -> Changes:
    """The changes of a preset in `folder` and others, which win; raises UserError."""
    return {**(preset_changes(folder, preset) if preset else {}), **checked(changes)}


def setting(name: str) -> str:
    """The name of a recipe's number for what people call it: dotted, or as other trainers have it; else as it is.

    >>> setting("optimizer.lr"), setting("text_encoder.lr"), setting("lora.rank"), setting("rang")
    ('learning_rate', 'text_learning_rate', 'rank', 'rang')
    """
    path = name.lower().replace("-", "_").split(".")
    for start in range(len(path)):  # the longest path that names one: text.learning_rate is not learning_rate
        words = re.sub(r"(^|_)lr(_|$)", r"\1learning_rate\2", "_".join(path[start:]))
        words = words.replace("text_encoder_", "text_")
        if (field_name := ALIASES.get(words, words)) in Recipe.model_fields:
            return field_name
    return name


def checked(changes: Mapping[str, object]) -> Changes:
    """Changes as the recipe takes them; raises UserError with a sentence for each that it does not."""
    # Aliases first: two names of one number must not pass as two numbers.
    changes = {setting(name): value for name, value in changes.items()}
    if wrong := problems(Recipe, dict(changes)):
        raise UserError(" ".join(_unknown(name) or sentence for name, sentence in wrong.items()))
    return Recipe.model_validate(changes).model_dump(include=set(changes))


def _unknown(name: str) -> str:
    """What to say of a name that no recipe has; empty if they have it."""
    if name in Recipe.model_fields:
        return ""
    # Without the dotted path, which is another trainer's and would spoil the likeness.
    close = difflib.get_close_matches(name.rpartition(".")[2], Recipe.model_fields, n=1)
    hint = f"Did you mean {close[0]}?" if close else "docs/recipes.md lists what it has."
    return f"A recipe has no {name[:40]}. {hint}"


def presets(folder: Path) -> list[str]:
    """Names of the presets there are."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def preset_changes(folder: Path, name: str) -> Changes:
    """What a preset changes; raises UserError if there is none of that name, or it does not work."""
    known = presets(folder)
    if name not in known:
        there = f"There are {', '.join(known)}." if known else "There are none here."
        raise UserError(f"There is no recipe called {name}. {there}")
    try:
        preset = tomllib.loads((folder / f"{name}.toml").read_text())
        return checked({key: value for key, value in preset.items() if key != DESCRIPTION})
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"The recipe {name} does not work: {error}") from None
