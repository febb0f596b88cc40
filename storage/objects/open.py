"""Open the store that the settings name, proven to do all that is needed of it."""

import hashlib
import logging
import time
from pathlib import Path

from storage.errors import Full, SetupError, StoreError
from storage.ids import new_id
from storage.objects.folder import FolderStore
from storage.objects.store import Store
from storage.objects.store_probe import probe_store
from storage.probes import failed, sentences
from storage.settings.shared import SharedSettings

log = logging.getLogger(__name__)

PROVEN_S = 3600  # for so long a short command trusts what a process on this machine found out


async def open_store(settings: SharedSettings, short: bool = False) -> Store:
    """Return the store of the settings; raises SetupError in a sentence that says what does not work.

    What a short command asks of it costs less than to try everything, so it relies on who did that lately.
    """
    store = make_store(settings.store_url)
    note = None if isinstance(store, FolderStore) else _note(settings, store)
    if short and note and _is_fresh(note):
        return store
    if failures := failed(await probe_store(store)):
        if await _is_full(store):
            log.warning("The store %s is full: what is there can be read and deleted.", settings.store_url)
            return store
        raise SetupError(f"The store {settings.store_url} cannot be used. {sentences(failures)}")
    if note:
        note.parent.mkdir(parents=True, exist_ok=True)
        for old in [each for each in note.parent.iterdir() if not _is_fresh(each)]:
            old.unlink(missing_ok=True)  # of other servers, or credentials of before
        note.touch()
    return store


def make_store(url: str) -> Store:
    """Make the store at `url`, which was not tried yet; raises SetupError for what is no store."""
    if url.startswith("s3://"):
        from storage.objects.s3 import S3Store  # boto3 takes a third of a second to import: only where S3 is used

        return S3Store.from_url(url)
    return FolderStore(Path(url).expanduser())


def _note(settings: SharedSettings, store: Store) -> Path:
    """The file whose age tells when this store was last proven, for this server and these credentials."""
    return settings.home / "proven" / hashlib.sha256(str(store).encode()).hexdigest()[:20]


def _is_fresh(note: Path) -> bool:
    try:
        return 0 <= time.time() - note.stat().st_mtime < PROVEN_S
    except OSError:
        return False


async def _is_full(store: Store) -> bool:
    """Whether all that stands in the way is that there is no room, which forgetting and deleting make."""
    key = f"probes/{new_id()}"
    try:
        await store.put(key, b"1")
        await store.delete(key)
    except Full:
        return True
    except StoreError:
        return False
    return False
