"""Forms as Slack's views, made from the commands, and what people filled in."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import (
    ExternalDataSelectElement,
    InputBlock,
    InputInteractiveElement,
    NumberInputElement,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    StaticSelectElement,
)
from slack_sdk.models.blocks.block_elements import FileInputElement
from slack_sdk.models.views import View

from bot.arguments.forms import Field, Form
from bot.connectors.slack.context import InboundContext
from bot.photos.file_types import EXTENSIONS
from storage.contract.base import Record
from storage.text import shorten

CALLBACK = "form"
PHOTOS = "photos"  # block of the file field
VALUE = "value"  # action id of every field
FILES_MAX, TITLE_MAX, TEXT_MAX, LONG = 10, 24, 3000, 100


class SubmittedForm(Record):
    """A form that was sent: what for, with what, from where."""

    command: str
    asked: InboundContext  # named so in forms that are open
    values: dict[str, str]
    fixed: dict[str, str] = {}  # arguments that went along unseen
    files: tuple[str, ...] = ()  # ids of files that the form was opened with
    author: str | None = None  # who posted these; empty where that is no person
    attached: tuple[dict[str, Any], ...] = ()  # files as Slack describes them


def view(
    form: Form, inbound: InboundContext, files: Sequence[str] = (), hint: str = "", author: str | None = None
) -> View:
    """Lay a form out; `files` are the ids of photos that are there already, `hint` says what is done with others."""
    metadata = SubmittedForm(
        command=form.name, asked=inbound, values={}, fixed=form.fixed, files=tuple(files), author=author
    )
    blocks = [_block(field) for field in form.fields]
    if form.takes_photos and not files:
        element = FileInputElement(action_id=VALUE, filetypes=[*EXTENSIONS], max_files=FILES_MAX)
        blocks.append(InputBlock(block_id=PHOTOS, label="Photos", element=element, hint=hint or None, optional=False))
    word = form.name.split()[-1].capitalize()
    return View(
        type="modal",
        callback_id=CALLBACK,
        title=shorten(form.name.capitalize(), TITLE_MAX),
        submit=shorten(word, TITLE_MAX),
        close="Cancel",
        blocks=blocks,
        private_metadata=metadata.model_dump_json(exclude_defaults=True, exclude={"asked": {"id"}}),
    )


def read(sent: Mapping[str, Any]) -> SubmittedForm:
    """Take a view apart that was sent; raises ValueError if it is none of ours."""
    values: dict[str, str] = {}
    attached: list[dict[str, Any]] = []
    for name, block in sent["state"]["values"].items():
        state = block.get(VALUE, {})
        attached += state.get("files") or []
        value = state.get("value") or (state.get("selected_option") or {}).get("value")
        if value and name != PHOTOS:
            values[name] = str(value)
    metadata = {"values": {}, **json.loads(sent["private_metadata"])}
    return SubmittedForm.model_validate({**metadata, "values": values, "attached": attached})


def errors(sent: Mapping[str, Any], problems: Mapping[str, str]) -> dict[str, str]:
    """Problems by the block that they are shown beside; those of what has no field stand beside the first."""
    fields = [block["block_id"] for block in sent["blocks"] if block["type"] == "input"]
    return {name if name in fields else fields[0]: shorten(sentence, TEXT_MAX) for name, sentence in problems.items()}


def _block(field: Field) -> InputBlock:
    return InputBlock(
        block_id=field.name,
        label=field.name.capitalize(),
        hint=shorten(field.meaning, TEXT_MAX // 2) or None,
        element=_element(field),
        optional=not field.required,
    )


def _element(field: Field) -> InputInteractiveElement:
    if field.kind == "choice":
        options = [_option(choice) for choice in field.choices]
        chosen = _option(field.default) if field.default else None
        return StaticSelectElement(action_id=VALUE, options=options, initial_option=chosen)
    if field.suggest:
        chosen = _option(field.default) if field.default else None
        return ExternalDataSelectElement(action_id=VALUE, min_query_length=0, initial_option=chosen)
    if field.kind in ("whole", "number"):
        return NumberInputElement(
            action_id=VALUE,
            is_decimal_allowed=field.kind == "number",
            initial_value=field.default or None,
            min_value=_number(field.minimum),
            max_value=_number(field.maximum),
        )
    longest = min(field.longest or TEXT_MAX, TEXT_MAX)
    return PlainTextInputElement(
        action_id=VALUE,
        multiline=longest > LONG,
        max_length=longest,
        initial_value=shorten(field.default, longest) or None,
    )


def _option(value: str) -> Option:
    return Option(text=PlainTextObject(text=shorten(value, 75)), value=value)


def _number(limit: float | None) -> str | None:
    return None if limit is None else f"{limit:g}" if limit < 1e6 else str(int(limit))
