"""Whether a subject was learned from the very base model that is here. Without torch, for the worker.

Files of one model in full and in half precision hash differently. A commit of the hub stands for both, and a folder
that holds both is hashed either way; a single file of another precision counts as another version.
"""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from storage.contract.subjects import Subject
from storage.errors import UserError
from trainer.models.diffusers_layout import INDEX, RECIPE_FILE, config_of, names_in
from trainer.models.families import recognised
from trainer.models.local_files import files_hash
from trainer.models.sources import ON_THE_HUB


class BaseModelVersion(NamedTuple):
    """Which one of a base model: the commit or the hash of the single file, and the hash of what it consists of."""

    revision: str
    sha256: str  # empty where it was not noted


def check_base(subjects: Iterable[Subject], here: BaseModelVersion, folder: Path) -> str:
    """Compare what subjects were learned from with what is here, in `folder`; raises UserError where they differ.

    LoRA goes from one version to the next, as people pass it on: of that a sentence is returned.
    """
    notes = []
    for subject in subjects:
        if is_other(BaseModelVersion(subject.base_revision, subject.base_sha256), here, folder):
            again = "retrain" if subject.photos else "import"
            notes.append(sentence(subject.name, subject.base_model, again))
            if subject.method != "lora":
                raise UserError(notes[-1])
    return " ".join(notes)


def is_other(learned: BaseModelVersion, here: BaseModelVersion, folder: Path) -> bool:
    """Whether what is here, in `folder`, is known not to be what was learned from."""
    if not learned.sha256 or learned.sha256 == here.sha256 or (learned.revision and learned.revision == here.revision):
        return False
    return learned.sha256 not in _of_either_precision(folder)


def sentence(name: str, base_model: str, again: str = "retrain") -> str:
    """What people read of it."""
    called = base_model if ON_THE_HUB.fullmatch(base_model) else Path(base_model).name
    return (
        f"{name} was learned from another base model or version of it ({called}) than the one here: {again} it, or "
        "have DARKROOM_BASE_MODEL set back."
    )


def model_hash(folder: Path, files: Iterable[str]) -> str:
    """Hash of the files of a base model that decide what it draws."""
    return files_hash(folder, {*files} - {RECIPE_FILE})


@lru_cache(maxsize=1)
def _of_either_precision(folder: Path) -> frozenset[str]:
    """Hashes of a folder that has weights in two precisions, by which are taken; none if it has but one."""
    names = names_in(folder)
    family = recognised(names, lambda: config_of(folder, INDEX))
    choices = {tuple(family.needed_files(names, half, str(folder))) for half in (False, True)}
    return frozenset(model_hash(folder, files) for files in choices) if len(choices) > 1 else frozenset()
