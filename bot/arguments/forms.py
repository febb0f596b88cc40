"""Commands as forms: every argument with what a field, a completion or a page of help needs to know of it."""

from typing import Any, Literal

from pydantic import BaseModel

from storage.contract.base import Record

Kind = Literal["text", "whole", "number", "choice"]
KINDS: dict[str, Kind] = {"string": "text", "integer": "whole", "number": "number", "boolean": "choice"}


class Field(Record):
    """One argument, as its JSON schema declares it; limits are None where there are none."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    default: str = ""  # what stands in the field at first
    usual: str = ""  # what is meant where nothing is said
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    longest: int | None = None
    offers: tuple[str, ...] = ()  # what else than free text a list may offer
    brief: bool = False  # worth showing where space is short
    bare: bool = False  # may be typed without its name
    many: bool = False  # may be given several times
    suggest: Literal["", "subjects", "jobs", "groups"] = ""


class Form(Record):
    """One command: its name, what it does, how to type it, its fields, and whether photos come with it."""

    name: str
    summary: str
    usage: str
    takes_photos: bool
    takes_documents: bool = False
    needs_subjects: int = 0  # how many there must be for it to make sense
    fields: tuple[Field, ...]
    fixed: dict[str, str] = {}  # arguments that go along unseen

    @property
    def brief(self) -> tuple[Field, ...]:
        """The fields that are needed most: few enough for every chat's forms."""
        return tuple(field for field in self.fields if field.required or field.brief)


def fields(arguments: type[BaseModel]) -> tuple[Field, ...]:
    """Describe all arguments of a command, in their order."""
    schema = arguments.model_json_schema()
    required = schema.get("required", [])
    return tuple(_field(name, about, name in required) for name, about in schema.get("properties", {}).items())


def _field(name: str, about: dict[str, Any], required: bool) -> Field:
    # An argument that may be left out is declared as "this or null"; a form needs only the this.
    options = [option for option in about.get("anyOf", [about]) if option.get("type") != "null"]
    limits = {**about, **options[0]}
    usual = "" if about.get("default") is None else str(about["default"])
    return Field(
        name=name,
        kind="choice" if "enum" in limits else KINDS[limits["type"]],
        meaning=about.get("description", ""),
        required=required,
        default=usual,
        usual=usual,
        choices=limits.get("enum", ()),
        minimum=limits.get("minimum", limits.get("exclusiveMinimum")),
        maximum=limits.get("maximum", limits.get("exclusiveMaximum")),
        longest=limits.get("maxLength"),
        brief=about.get("brief", False),
        bare=about.get("bare", False),
        many=about.get("many", False),
        offers=about.get("offers", ()),
        suggest=about.get("suggest", ""),
    )
