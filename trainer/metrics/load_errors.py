"""Why a model that is to look at pictures cannot be read, for the end of a sentence."""

from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi

from trainer.models.diffusers_layout import PICKLES

CONVERTED = "which may run code when they are loaded. docs/evaluation.md says how to convert them to safetensors."


def load_error(name: str, error: Exception) -> str:
    """What is wrong with a model that transformers cannot read: what it says itself, unless there are only pickles."""
    names = _files_of(name)
    pickles = [each for each in names if each.endswith(PICKLES)]
    if pickles and not any(each.endswith(".safetensors") for each in names):
        return f"it has its weights only as pickles ({pickles[0]}), {CONVERTED}"
    return str(error).strip().splitlines()[0]


def _files_of(name: str) -> list[str]:
    """The files of a model; none if they cannot be listed."""
    folder = Path(name)
    if folder.is_dir():
        return sorted(path.name for path in folder.iterdir())
    try:
        return sorted(HfApi().list_repo_files(name))
    except (OSError, ValueError, HTTPError):  # what cannot be had from the hub is told already
        return []
