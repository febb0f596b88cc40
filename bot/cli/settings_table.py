"""Every setting with its meaning, value and default: for `darkroom settings` and for the docs."""

from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.connectors.terminal.screen import CommandResult
from storage.contract.base import Record
from storage.settings import Settings, load_settings, without_secrets


class SettingRow(Record):
    """One setting; `value` is masked where it is secret."""

    name: str
    meaning: str
    default: str
    value: str = ""


def rows(settings: Settings | None = None) -> list[SettingRow]:
    """All settings, with their values if `settings` are given."""
    return [
        SettingRow(
            name=str(field.validation_alias),
            meaning=field.description or "",
            default=_default(field),
            value=_masked(getattr(settings, name)) if settings else "",
        )
        for name, field in Settings.model_fields.items()
    ]


def _default(field: FieldInfo) -> str:
    if field.default_factory:
        return "the platform's folder for user data"
    return "" if field.default is None else str(field.default)


def _masked(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return str(value)  # stars, or nothing
    shown = without_secrets(str(value)) if "://" in str(value) else str(value)
    return shown if shown == str(value) else shown.replace("://", "://***@", 1)


async def result() -> CommandResult:
    """The settings as they are now; raises SetupError for those that are wrong."""
    known = rows(load_settings())
    table = {
        row.name: f"{row.value or '(unset)'}\n{row.meaning}{f' Default: {row.default}.' if row.default else ''}\n"
        for row in known
    }
    return CommandResult(
        state="done",
        message=f"{len(known)} settings, from the environment and .env:\n",
        more={"settings": [row.model_dump() for row in known]},
        table=table,
    )
