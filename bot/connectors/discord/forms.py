"""Forms as Discord's modals, and what a person filled in."""

from typing import Any

import discord

from bot.arguments.forms import Field, Form
from bot.connectors.discord.slash_commands import PHOTOS, AttachedFile, Json, attached
from storage.text import shorten

TITLE, MEANING, SHORT = 45, 100, 100  # characters
ASKED = 5  # fields in a modal at most
UPLOAD = 19
Item = discord.ui.Item[Any]


def modal(form: Form, custom_id: str, photos: bool, hint: str = "") -> discord.ui.Modal:
    """Describe a form with its values filled in; `photos` asks for files as well, and `hint` says what they are for."""
    form_view = discord.ui.Modal(title=shorten(form.summary, TITLE), custom_id=custom_id, timeout=None)
    for field in form.brief[: ASKED - photos]:
        about = shorten(field.meaning, MEANING) or None
        name = field.name.capitalize()
        form_view.add_item(discord.ui.Label(text=name, description=about, component=_component(field)))
    if photos:
        upload: Item = discord.ui.FileUpload(custom_id="photos", min_values=1, max_values=PHOTOS)
        form_view.add_item(
            discord.ui.Label(text="Photos", description=shorten(hint, MEANING) or None, component=upload)
        )
    # A form that is stopped only describes: what is sent is understood from its id, by whatever process.
    form_view.stop()
    return form_view


def hidden_values(form: Form) -> dict[str, str]:
    """What a form knows and does not ask for: it goes along unseen."""
    form_view = {field.name for field in form.brief}
    return {**{f.name: f.default for f in form.fields if f.name not in form_view and f.default}, **form.fixed}


def _component(field: Field) -> Item:
    if field.suggest == "groups":
        return discord.ui.RoleSelect(custom_id=field.name, min_values=0, max_values=1, required=False)
    if field.choices:
        options = [discord.SelectOption(label=c, default=c == field.default) for c in field.choices]
        least = int(field.required)
        return discord.ui.Select(custom_id=field.name, options=options, min_values=least, required=field.required)
    longest = field.longest or SHORT
    return discord.ui.TextInput(
        custom_id=field.name,
        style=discord.TextStyle.long if longest > SHORT else discord.TextStyle.short,
        default=shorten(field.default, longest) or None,
        required=field.required,
        max_length=longest,
    )


def read_submission(data: Json) -> tuple[dict[str, str], tuple[AttachedFile, ...]]:
    """Read a form that was sent: arguments by name, without those left empty, and files."""
    arguments: dict[str, str] = {}
    files: list[str] = []
    for label in data["components"]:
        component = label["component"]
        if component["type"] == UPLOAD:
            files += component["values"]
        elif value := component.get("value") or next(iter(component.get("values") or []), ""):
            arguments[component["custom_id"]] = value
    return arguments, attached(data, files)
