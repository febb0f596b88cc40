"""What people say is in a photo: the chat's alt text, or a text file beside it, `rex-1.txt` for `rex-1.jpg`."""

from collections.abc import Sequence
from pathlib import Path, PurePath

from bot.photos.uploads import Upload
from storage.text import one_line

SUFFIX = ".txt"
LONGEST = 200  # characters: a text encoder reads some seventy words, and those of the prompt are among them
READ_BYTES = 4 * LONGEST  # as many as those can take


def plain(text: str) -> str:
    """Text on one line, with nothing invisible, and not too long."""
    return one_line(text)[:LONGEST].rstrip()


def paired(uploads: Sequence[Upload]) -> tuple[Upload, ...]:
    """Pair photos with their caption files, text files of the same name; all others stay as they are."""
    captions = {_stem(u.name): u.data[:READ_BYTES].decode(errors="replace") for u in uploads if _is_text(u.name)}
    # A text file without a photo of its name stays an upload, so that its refusal tells of it.
    known = {_stem(u.name) for u in uploads if not _is_text(u.name)}
    rest = [u for u in uploads if not (_is_text(u.name) and _stem(u.name) in known)]
    return tuple(u.model_copy(update={"caption": captions.get(_stem(u.name)) or u.caption}) for u in rest)


def without_captions(files: Sequence[Path]) -> list[Path]:
    """Files without caption files: text files that are called like another file of the same folder."""
    photos = {file.with_suffix("") for file in files if not _is_text(file.name)}
    return [file for file in files if not (_is_text(file.name) and file.with_suffix("") in photos)]


def beside(photo: Path) -> str:
    """What the text file beside a photo says; empty if there is none that can be read."""
    try:
        with photo.with_suffix(SUFFIX).open("rb") as file:
            return "" if _is_text(photo.name) else file.read(READ_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _is_text(name: str) -> bool:
    return name.lower().endswith(SUFFIX)


def _stem(name: str) -> str:
    return PurePath(name).stem.casefold()
