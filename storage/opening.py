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
    probe = f"probes/{new_id()}"
    try:
        first, second = await store.put_new(probe, b"1"), await store.put_new(probe, b"2")
        await store.delete(probe)
    except StoreError as error:
        raise SetupError(f"The store {settings.store_url} cannot be written: {error}") from error
    if not first or second:
        raise SetupError(
            f"The store {settings.store_url} ignores conditional writes (If-None-Match), "
            "so two workers could publish one job twice. Use a server that honours them."
        )
    return store


def _store(url: str) -> Store:
    if url.startswith("s3://"):
        from storage.s3 import S3Store  # boto3 takes a third of a second to import: only where S3 is used

        return S3Store.from_url(url)
    return FolderStore(Path(url).expanduser())
