"""Try on the object store everything that Darkroom does with it later, and read back what was written.

That a write is accepted proves little: some S3 servers ignore conditions, others refuse them, or want checksums for
deleting many objects at once; some list late what was written.
"""

import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from storage.errors import StoreError
from storage.failures import Failure
from storage.ids import id_at, is_id, new_id
from storage.objects.folder import FolderStore
from storage.objects.store import Store
from storage.probes import ProbeFailed, ProbeResult, expect

LITTLE_BYTES = 2**30  # less is worth a warning
KEPT_S = 3600
DATA = bytes(range(256)) * 4
VERSIONS = (
    "the bucket keeps old versions, so photos stay in it after *forget*: turn versioning off, or let a lifecycle rule "
    "delete old versions after a day"
)
TWICE = "so two workers could publish one job twice; a server is needed that honours them"


async def _write(store: Store, root: str) -> None:
    await store.put(f"{root}/a", DATA)


async def _read(store: Store, root: str) -> None:
    expect((await store.get(f"{root}/a")).data == DATA, "what is read is not what was written")


async def _only_if_new(store: Store, root: str) -> None:
    first = await store.put_new(f"{root}/b", DATA)
    expect(first, "a conditional write (If-None-Match) of a new name is refused as if it were there")
    # With other content, so that a server that compares content cannot pass.
    expect(not await store.put_new(f"{root}/b", b""), f"it ignores conditional writes (If-None-Match), {TWICE}")


async def _only_if_unchanged(store: Store, root: str) -> None:
    tag = (await store.get(f"{root}/b")).tag
    expect(await store.replace(f"{root}/b", b"2", tag), "a conditional write (If-Match) is refused with the right tag")
    ignored = await store.replace(f"{root}/b", b"3", tag) or await store.replace(f"{root}/none", b"4", tag)
    expect(not ignored, f"it ignores conditional writes (If-Match), {TWICE}")


async def _look(store: Store, root: str) -> None:
    there, not_there = await store.exists(f"{root}/a"), await store.exists(f"{root}/none")
    expect(there and not not_there, "it does not tell whether an object is there (HEAD)")


async def _list(store: Store, root: str) -> None:
    names = [f"{root}/a", f"{root}/b"]
    expect(await store.names(f"{root}/") == names, "a listing does not show what was just written")
    page = await store.names(f"{root}/", after=names[0], most=1)
    expect(page == names[1:], "a listing does not begin after a name (StartAfter)")


async def _parts(store: Store, root: str) -> None:
    await store.put_in_parts(f"{root}/c", DATA)
    expect((await store.get(f"{root}/c")).data == DATA, "what is uploaded in parts is not what is read")


async def _delete(store: Store, root: str) -> None:
    await store.delete(f"{root}/c")
    # Deleting what is not there must be no error: retries do that.
    await store.delete(f"{root}/none")
    await store.delete_prefix(f"{root}/")
    expect(await store.names(f"{root}/") == [], "what was deleted is still listed")


TRIED: dict[str, Callable[[Store, str], Awaitable[None]]] = {
    "write (PUT)": _write,
    "read (GET)": _read,
    "write what is new only (PUT with If-None-Match)": _only_if_new,
    "write what is unchanged only (PUT with If-Match)": _only_if_unchanged,
    "look (HEAD)": _look,
    "list (ListObjectsV2)": _list,
    "upload in parts (multipart upload)": _parts,
    "delete (DELETE, DeleteObjects)": _delete,
}


async def probe_store(store: Store) -> list[ProbeResult]:
    """Try all that is used, on objects that are gone afterwards; never raises StoreError."""
    return [finding async for finding in _findings(store)]


async def sweep(store: Store) -> None:
    """Delete what processes left that died while they probed the store, an hour ago or more."""
    before = id_at(time.time() - KEPT_S)
    left = {name.split("/")[1] for name in await store.names("probes/")}
    for probe in sorted(probe for probe in left if is_id(probe) and probe < before):
        await store.delete_prefix(f"probes/{probe}/")


async def _findings(store: Store) -> AsyncIterator[ProbeResult]:
    root = f"probes/{new_id()}"
    try:
        for name, trying in TRIED.items():
            finding = await _tried(name, trying(store, root))
            yield finding
            if finding.state == "fail" and (name == "write (PUT)" or finding.failure is Failure.OUTAGE):
                return  # the rest would fail of the same
        if isinstance(store, FolderStore):
            yield _space(store)
        if store.keeps_versions:
            yield ProbeResult("versioning", VERSIONS, "warn")
    # What stays after a crash is swept an hour later.
    finally:
        with suppress(StoreError):
            await store.delete_prefix(f"{root}/")


def _space(store: FolderStore) -> ProbeResult:
    free_bytes = shutil.disk_usage(store.root).free
    says = f"{free_bytes / 2**30:.1f} GiB free"
    return ProbeResult("space", says, "ok" if free_bytes > LITTLE_BYTES else "warn")


async def _tried(name: str, trying: Awaitable[None]) -> ProbeResult:
    try:
        await trying
    except ProbeFailed as error:
        return ProbeResult(name, str(error), "fail")
    except StoreError as error:
        return ProbeResult(name, str(error).removesuffix("."), "fail", error.failure)
    return ProbeResult(name)
