"""The rules of Block Kit as a JSON schema, written from Slack's reference, and the few that no schema can say."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

Json = dict[str, Any]


def _object(kind: str, required: str, **properties: Json) -> Json:
    return {
        "type": "object",
        "required": ["type", *required.split()],
        "properties": {"type": {"const": kind}, **properties},
        "additionalProperties": False,
    }


def _string(most: int) -> Json:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _plain(most: int) -> Json:
    return _object("plain_text", "text", text=_string(most), emoji={"type": "boolean"})


def _mrkdwn(most: int) -> Json:
    return _object("mrkdwn", "text", text=_string(most), verbatim={"type": "boolean"})


def _any_text(most: int) -> Json:
    return {"anyOf": [_plain(most), _mrkdwn(most)]}


def _list(items: Json, most: int) -> Json:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


BOOLEAN: Json = {"type": "boolean"}
ID = _string(255)
NUMBER = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
STYLE: Json = {"enum": ["primary", "danger"]}
CONFIRM: Json = {
    "type": "object",
    "required": ["title", "text", "confirm", "deny"],
    "properties": {
        "title": _plain(100),
        "text": _any_text(300),
        "confirm": _plain(30),
        "deny": _plain(30),
        "style": STYLE,
    },
    "additionalProperties": False,
}
OPTION: Json = {
    "type": "object",
    "required": ["text", "value"],
    "properties": {"text": _plain(75), "value": _string(150), "description": _plain(75)},
    "additionalProperties": False,
}
SLACK_FILE: Json = {
    "type": "object",
    "properties": {"id": _string(20), "url": _string(3000)},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
BUTTON = _object(
    "button",
    "text",
    text=_plain(75),
    action_id=ID,
    value=_string(2000),
    style=STYLE,
    confirm=CONFIRM,
    url=_string(3000),
    accessibility_label=_string(75),
)
STATIC_SELECT = _object(
    "static_select",
    "options",
    options=_list(OPTION, 100),
    action_id=ID,
    placeholder=_plain(150),
    initial_option=OPTION,
    confirm=CONFIRM,
    focus_on_load=BOOLEAN,
)
EXTERNAL_SELECT = _object(
    "external_select",
    "",
    action_id=ID,
    placeholder=_plain(150),
    initial_option=OPTION,
    confirm=CONFIRM,
    min_query_length={"type": "integer", "minimum": 0},
    focus_on_load=BOOLEAN,
)
TEXT_INPUT = _object(
    "plain_text_input",
    "",
    action_id=ID,
    initial_value={"type": "string", "maxLength": 3000},
    multiline=BOOLEAN,
    min_length={"type": "integer", "minimum": 0, "maximum": 3000},
    placeholder=_plain(150),
    focus_on_load=BOOLEAN,
    max_length={"type": "integer", "minimum": 1, "maximum": 3000},
)
NUMBER_INPUT = _object(
    "number_input",
    "is_decimal_allowed",
    is_decimal_allowed=BOOLEAN,
    action_id=ID,
    initial_value=NUMBER,
    min_value=NUMBER,
    max_value=NUMBER,
    placeholder=_plain(150),
    focus_on_load=BOOLEAN,
)
FILE_INPUT = _object(
    "file_input",
    "",
    action_id=ID,
    filetypes=_list({"type": "string", "pattern": "^[a-z0-9]+$"}, 50),
    max_files={"type": "integer", "minimum": 1, "maximum": 10},
)
IMAGE = {
    **_object(
        "image",
        "alt_text",
        alt_text=_string(2000),
        image_url=_string(3000),
        slack_file=SLACK_FILE,
        title=_plain(2000),
        block_id=ID,
    ),
    "oneOf": [{"required": ["image_url"]}, {"required": ["slack_file"]}],
}
SECTION = {
    **_object(
        "section",
        "",
        text=_any_text(3000),
        fields=_list(_any_text(2000), 10),
        block_id=ID,
        expand=BOOLEAN,
        accessory={"anyOf": [BUTTON, STATIC_SELECT, EXTERNAL_SELECT, IMAGE]},
    ),
    "anyOf": [{"required": ["text"]}, {"required": ["fields"]}],
}
ACTIONS = _object(
    "actions", "elements", block_id=ID, elements=_list({"anyOf": [BUTTON, STATIC_SELECT, EXTERNAL_SELECT]}, 25)
)
CONTEXT = _object("context", "elements", block_id=ID, elements=_list({"anyOf": [_any_text(2000), IMAGE]}, 10))
HEADER = _object("header", "text", text=_plain(150), block_id=ID)
DIVIDER = _object("divider", "", block_id=ID)
INPUTS: Json = {"anyOf": [TEXT_INPUT, NUMBER_INPUT, FILE_INPUT, STATIC_SELECT, EXTERNAL_SELECT]}
INPUT = _object(
    "input",
    "label element",
    label=_plain(2000),
    element=INPUTS,
    block_id=ID,
    hint=_plain(2000),
    optional=BOOLEAN,
    dispatch_action=BOOLEAN,
)
IN_MESSAGES = (SECTION, CONTEXT, ACTIONS, IMAGE, HEADER, DIVIDER)

MESSAGE: Json = {"type": "array", "maxItems": 50, "items": {"oneOf": [*IN_MESSAGES]}}
HOME = _object("home", "blocks", blocks={"type": "array", "maxItems": 100, "items": {"oneOf": [*IN_MESSAGES]}})
MODAL = _object(
    "modal",
    "title blocks",
    title=_plain(24),
    submit=_plain(24),
    close=_plain(24),
    private_metadata=_string(3000),
    callback_id=ID,
    clear_on_close=BOOLEAN,
    notify_on_close=BOOLEAN,
    external_id=ID,
    blocks={"type": "array", "minItems": 1, "maxItems": 100, "items": {"oneOf": [*IN_MESSAGES, INPUT]}},
)


def problems(blocks: Any) -> list[str]:
    """What is wrong with the blocks of a message."""
    return [*_schema(MESSAGE, blocks), *_twice(blocks)]


def view_problems(view: Any) -> list[str]:
    """What is wrong with a form or a home tab."""
    if not isinstance(view, dict):
        return ["a view is an object"]
    found = _schema(HOME if view.get("type") == "home" else MODAL, view)
    if "input" in {b.get("type") for b in view.get("blocks", [])} and "submit" not in view:
        found.append("a form with inputs needs a submit")
    return [*found, *_twice(view.get("blocks", []))]


def _schema(schema: Json, value: Any) -> list[str]:
    errors = Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {error.message[:300]}" for error in errors]


def _twice(blocks: Any) -> list[str]:
    """Ids that stand twice: of blocks anywhere, of actions in one block."""
    ids = Counter(b["block_id"] for b in blocks if "block_id" in b)
    found = [f"block_id {name} stands {n} times" for name, n in ids.items() if n > 1]
    for block in blocks:
        actions = Counter(e["action_id"] for e in elements(block) if "action_id" in e)
        found += [f"action_id {name} stands {n} times in a block" for name, n in actions.items() if n > 1]
    return found


def elements(block: Json) -> Iterator[Json]:
    """What can be pressed, chosen or filled in inside a block."""
    yield from block.get("elements", [])
    yield from (block[part] for part in ("accessory", "element") if part in block)
