"""Base classes of records that are stored or sent: frozen, versioned, and tolerant of fields of a newer version."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator


class Record(BaseModel):
    """Base of everything that is stored or sent: immutable. Unknown fields are a newer version's, and are kept.

    What people send is checked before, by `bot.arguments.arguments`, which forbids unknown fields.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class Stored(Record):
    """Base of records that are objects in the store, or in Redis. A kind's own version is the field's default.

    It is raised when older versions would misunderstand the record: not for a field that they may ignore.
    """

    schema_version: int = Field(1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _before_there_were_versions(cls, data: Any, info: ValidationInfo) -> Any:
        """Read a record without a version as one of version 1."""
        return {"schema_version": 1, **data} if info.mode == "json" and isinstance(data, dict) else data

    @classmethod
    def known_version(cls) -> int:
        """The version of this kind of record that this Darkroom writes, and the newest that it understands."""
        return int(cls.model_fields["schema_version"].default)

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of Darkroom wrote it, in a way that this one may misunderstand."""
        return self.schema_version > self.known_version()
