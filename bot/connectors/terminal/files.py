"""Files that a command at the terminal reads and writes: photos and documents of a person, pictures for them."""

import os
from pathlib import Path

from bot.photos import captions
from bot.photos.uploads import Upload
from bot.photos.vetting import check_number
from storage.ask.documents import DOCUMENT_MAX_BYTES
from storage.contract.outcomes import Picture
from storage.errors import UserError
from storage.objects.store import Store
from storage.settings.bot import BotSettings


async def save(store: Store, picture: Picture, out: Path, name: str) -> Path:
    """Copy a picture from the store into `out`; return the absolute path of the file."""
    out.mkdir(parents=True, exist_ok=True)
    path = (out / name).resolve().with_suffix(Path(picture.key).suffix)
    await store.get_file(picture.key, path)
    return path


def check_writable(out: Path) -> None:
    """Raise UserError now rather than after the drawing if `out` cannot hold files."""
    nearest = next((p for p in (out, *out.absolute().parents) if p.exists()), out)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"Pictures cannot be saved in {out}: {nearest} is not a folder that can be written.")


def read_photos(paths: list[Path], settings: BotSettings) -> tuple[Upload, ...]:
    """Read photo files, and those in folders, with captions; raises UserError for what is not there, or too much."""
    files = captions.without_captions([file for path in paths for file in _files_in(path)])
    check_number(len(files), settings.photos_max)
    most = settings.photo_max_bytes
    return tuple(Upload(name=f.name, data=_read_file(f, most), caption=captions.beside(f)) for f in files)


def read_documents(paths: list[Path]) -> tuple[Upload, ...]:
    """Read documents, and those in folders; raises UserError for what is not there."""
    files = [file for path in paths for file in _files_in(path)]
    return tuple(Upload(name=file.name, data=_read_file(file, DOCUMENT_MAX_BYTES)) for file in files)


def _files_in(path: Path) -> list[Path]:
    """A file, or those of a folder by name; raises UserError for what is not there, and for an empty folder."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        if not files:
            raise UserError(f"The folder {path} is empty.")
        return files
    if not path.is_file():
        raise UserError(f"{path} is not a file." if path.exists() else f"There is no file {path}.")
    return [path]


def _read_file(path: Path, most_bytes: int) -> bytes:
    """Read a file, of one that is too large just enough to be told so."""
    try:
        with path.open("rb") as file:
            return file.read(most_bytes + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
