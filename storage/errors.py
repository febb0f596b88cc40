"""The two kinds of trouble: what a person can mend, and surprises.

    DarkroomError
    ├── UserError         its message is a sentence for the person who asked; nothing was done
    ├── SetupError        its message is a sentence for the operator: a setting, a port, a server
    └── StoreError        the object store did not do what was asked
        ├── Missing       there is no object of that name
        ├── Damaged       an object is there, but is not what was written
        ├── Newer         a record was written by a newer version, which this one does not understand
        ├── Full          there is no room to write
        └── DiskFull      there is no room on this machine for what was to be fetched

Everything else that is raised is a surprise: logged whole, and answered with a short reference.
"""

from collections.abc import Mapping

from storage.failures import Failure


class DarkroomError(Exception):
    """Base of all errors that Darkroom raises on purpose; `str()` of it is a sentence."""


class UserError(DarkroomError):
    """Bad input: a sentence for the person who sent it. Nothing was changed."""


class SetupError(DarkroomError):
    """Something about the installation is wrong; the sentence says what to do."""


class StoreError(DarkroomError):
    """The object store is unreachable, full, read-only or otherwise failed; `failure` tells whether waiting helps."""

    failure = Failure.OUTAGE

    def __init__(self, message: str, failure: Failure | None = None) -> None:
        super().__init__(message)
        self.failure = failure or self.failure


class Missing(StoreError):
    """There is no object of that name."""

    failure = Failure.PERMANENT


class Damaged(StoreError):
    """An object is there, but is not what was written."""

    failure = Failure.PERMANENT


class Newer(StoreError):
    """A record was written by a newer version of Darkroom, in a way that this one does not understand."""

    failure = Failure.PERMANENT


class Full(StoreError):
    """There is no room to write: the disk is full, or a quota is used up. Deleting still works."""


class DiskFull(StoreError):
    """The disk of this machine is full, so a file cannot be fetched: an outage of the machine, not of the store."""


Sentences = Mapping[type[StoreError], str]

STORE_SENTENCES: Sentences = {
    Damaged: "Something that this needs is damaged in the storage. `darkroom repair` finds it.",
    Newer: "A newer version of me wrote what this needs, and this one does not understand it.",
    DiskFull: "The disk of the machine that needs a file of the storage is full, and needs room.",
}


def store_sentence(error: BaseException, own: Sentences, otherwise: str = "") -> str:
    """The sentence for an error: one of the caller's `own`, or one that all share; `otherwise` if there is none."""
    known = {**STORE_SENTENCES, **own}
    return next((sentence for kind, sentence in known.items() if isinstance(error, kind)), otherwise)
