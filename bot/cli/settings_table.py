"""Every setting with its meaning, value and default: for `darkroom settings` and for the docs."""

from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.connectors.terminal.screen import CommandResult
from storage.contract.base import Record
from storage.queue.redis_url import without_secrets
from storage.settings.ask import AskSettings
from storage.settings.bot import BotSettings
from storage.settings.language_model import LanguageModelSettings
from storage.settings.shared import SharedSettings, load_settings
from storage.settings.trainer import TrainerSettings

READERS = (SharedSettings, BotSettings, TrainerSettings, AskSettings, LanguageModelSettings)


class SettingRow(Record):
    """One setting; `value` is masked where it is secret."""

    name: str
    meaning: str
    default: str
    value: str = ""


def rows(kind: type[SharedSettings], settings: SharedSettings | None = None) -> list[SettingRow]:
    """The settings of one reader, without those that all share, and with their values if `settings` are given."""
    shared = SharedSettings.model_fields if kind is not SharedSettings else {}
    return [
        SettingRow(
            name=str(field.validation_alias),
            meaning=field.description or "",
            default=_default(field),
            value=_masked(getattr(settings, name)) if settings else "",
        )
        for name, field in kind.model_fields.items()
        if name not in shared
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
    known = [row for kind in READERS for row in rows(kind, load_settings(kind))]
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
