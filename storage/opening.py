"""Open the store that the settings name."""

from pathlib import Path

from storage.errors import SetupError, StoreError
from storage.files import FolderStore, Store
from storage.ids import new_id
from storage.settings import Settings


async def open_store(settings: Settings) -> Store:
    """Return the store of the settings, proven to be writable and to honour conditional writes.

    Raises SetupError with the reason if it is not.
    """
    store = _store(settings.store_url)
    try:
        honest = await _honours_conditions(store)
    except StoreError as error:
        raise SetupError(f"The store {settings.store_url} cannot be written: {error}") from error
    if not honest:
        raise SetupError(
            f"The store {settings.store_url} ignores conditional writes (If-None-Match, If-Match), "
            "so two workers could publish one job twice. Use a server that honours them."
        )
    return store


async def _honours_conditions(store: Store) -> bool:
    """Try the writes that must be refused: a name that is taken, an old version, a deleted object."""
    probe = f"probes/{new_id()}"
    try:
        if not await store.put_new(probe, b"1") or await store.put_new(probe, b"2"):
            return False
        tag = (await store.get(probe)).tag
        if not await store.replace(probe, b"3", tag) or await store.replace(probe, b"4", tag):
            return False
        await store.delete(probe)
        if await store.exists(probe):  # raises where the server says "forbidden" of what is only missing
            return False
        return not await store.replace(probe, b"5", tag)
    finally:
        await store.delete(probe)


def _store(url: str) -> Store:
    if url.startswith("s3://"):
        from storage.s3 import S3Store  # boto3 takes a third of a second to import: only where S3 is used

        return S3Store.from_url(url)
    return FolderStore(Path(url).expanduser())
