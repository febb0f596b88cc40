"""What people read of an error of the object store."""

from collections.abc import Mapping

from storage.errors import Damaged, DiskFull, Newer, StoreError

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
