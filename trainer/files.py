"""Files on this machine: where the base model lies, and hashes of files. Without torch, for the worker."""

import hashlib
from pathlib import Path

from storage.errors import SetupError

TOYWORLD_FOLDER = Path(__file__).parent / "toyworld" / "weights" / "model"
PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")


def base_folder(base_model: str) -> Path:
    """Where the base model of the settings lies; raises SetupError naming what is missing."""
    folder = TOYWORLD_FOLDER if base_model == "toyworld" else Path(base_model).expanduser()
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise SetupError(
            f"The base model {base_model} has no {', '.join(missing)}: DARKROOM_BASE_MODEL wants a folder "
            "in diffusers' layout."
        )
    return folder


def model_hash(folder: Path) -> str:
    """Hash names and contents of all files of the base model in `folder`; its recipe is no part of it."""
    digest = hashlib.sha256()
    for path in sorted(path for part in PARTS for path in (folder / part).rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(file_hash(path).encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
