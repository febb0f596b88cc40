"""The documents of a space in the store."""

import asyncio
from pathlib import Path

import pytest

from bot.commands.erase_person import forget_everything
from storage.ask import documents as module
from storage.ask.documents import Document, Documents, document_id, documents_prefix, media_type_of
from storage.errors import Damaged, UserError
from storage.ids import id_at, new_id
from storage.objects.folder import FolderStore


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(FolderStore(tmp_path))


async def test_documents_are_kept_by_space_and_name(documents: Documents) -> None:
    saved = await documents.save("s", "ada", "Folder/B.md", b"# B", shared="group", shared_with="role:1")
    await documents.save("s", "bob", "a.txt", b"a")
    await documents.save("other", "eve", "a.txt", b"of others")
    assert [each.name for each in await documents.in_space("s")] == ["a.txt", "Folder/B.md"]
    found = await documents.find("s", "folder/b.MD")
    assert found == saved and (found.shared, found.shared_with, found.owner) == ("group", "role:1", "ada")
    assert await documents.read(found) == b"# B" and await documents.find("s", "c.txt") is None


async def test_the_same_name_replaces_and_leaves_nothing_behind(documents: Documents, tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        saved = await documents.save("s", "ada", "a.txt", text)
    assert await documents.read(saved) == b"two" and len(await documents.in_space("s")) == 1
    assert len(await FolderStore(tmp_path).names(documents_prefix("s"))) == 2


async def test_of_two_of_one_name_at_once_one_wins_whole(documents: Documents, tmp_path: Path) -> None:
    for number in range(10):
        texts = [f"text of {who} {number}".encode() * 100 for who in ("ada", "bob", "eve")]
        saves = (
            documents.save("s", who, "a.txt", text) for who, text in zip(("ada", "bob", "eve"), texts, strict=True)
        )
        results = await asyncio.gather(*saves, return_exceptions=True)
        refused = [each for each in results if isinstance(each, UserError)]
        assert all("called a.txt at this moment" in str(each) for each in refused) and len(refused) < 3
        (kept,) = await documents.in_space("s")
        assert await documents.read(kept) in texts and kept in results
        assert len(await FolderStore(tmp_path).names(documents_prefix("s"))) == 2


async def test_a_document_of_somebody_else_is_not_replaced(documents: Documents) -> None:
    saved = await documents.save("s", "ada", "a.txt", b"one")
    with pytest.raises(UserError, match=r"There is a document called A\.txt already, of somebody else"):
        await documents.save("s", "bob", "A.txt", b"two", may_replace=lambda before: before.owner == "bob")
    assert await documents.read(saved) == b"one" and await documents.in_space("s") == [saved]


async def test_bytes_that_a_crash_has_left_go_with_the_next_version_once_they_are_old(
    documents: Documents, tmp_path: Path
) -> None:
    saved, store = await documents.save("s", "ada", "a.txt", b"one"), FolderStore(tmp_path)
    folder = saved.content_key.rpartition("/")[0]
    old, young = f"{folder}/0f-{id_at(1e9)}", f"{folder}/0f-{new_id()}"
    for key in (old, young, f"{folder}/0f.json"):
        await store.put(key, b"left")
    again = await documents.save("s", "ada", "a.txt", b"two")
    assert set(await store.names(folder)) == {f"{folder}/record.json", again.content_key, young}


async def test_a_person_or_a_space_can_be_deleted(documents: Documents, tmp_path: Path) -> None:
    for owner, name in (("ada", "a.txt"), ("ada", "b.txt"), ("bob", "c.txt")):
        await documents.save("s", owner, name, b"x")
    await documents.save("t", "ada", "d.txt", b"x")
    assert await documents.delete_all("s", "ada") == 2
    assert [each.name for each in await documents.in_space("s")] == ["c.txt"]
    assert await documents.delete_all("s") == 1
    assert {name.split("/")[1] for name in await FolderStore(tmp_path).names("documents/")} == {
        documents_prefix("t")[10:-1]
    }


async def test_what_a_person_who_left_has_added_is_forgotten(documents: Documents, tmp_path: Path) -> None:
    for space, owner in (("s", "ada"), ("s", "bob"), ("t", "ada")):
        await documents.save(space, owner, f"{owner}.txt", b"x")
    await forget_everything(FolderStore(tmp_path), "s", "ada")
    assert {(each.space, each.owner) for each in await documents.everywhere()} == {("s", "bob"), ("t", "ada")}
    await forget_everything(FolderStore(tmp_path), "s", "")
    assert {(each.space, each.owner) for each in await documents.everywhere()} == {("t", "ada")}


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [("a.exe", b"x", "a.exe cannot be a document"), ("", b"x", "This file cannot be a document"),
     ("a.md", b"", "a.md is empty"),
     ("a.txt", b"x" * (module.DOCUMENT_MAX_BYTES + 1), "a.txt is too large: 32 MB is the limit")],
)  # fmt: skip
async def test_what_cannot_be_a_document_is_refused(
    documents: Documents, name: str, data: bytes, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        await documents.save("s", "ada", name, data)
    assert await documents.in_space("s") == []


async def test_damaged_records_and_contents_are_noticed(documents: Documents, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    good = await documents.save("s", "ada", "a.txt", b"x")
    bad = await documents.save("s", "ada", "b.txt", b"y")
    await store.put(good.content_key, b"changed")
    await store.put(bad.content_key.rpartition("/")[0] + "/record.json", b"nonsense")
    assert [each.name for each in await documents.in_space("s")] == ["a.txt"]
    with pytest.raises(Damaged):
        await documents.read(good)


def test_a_record_as_the_first_version_wrote_it_is_read() -> None:
    key = f"documents/aa/{document_id('a.pdf')}/0f"
    old = (
        '{"schema_version":1,"space":"s","owner":"o","name":"a.pdf","media_type":"application/pdf","size_bytes":3,'
        f'"sha256":"0f","content_key":"{key}","added_s":1.5,"of_a_newer_version":true}}'
    )
    document = Document.model_validate_json(old)
    assert (document.shared, document.text_key, media_type_of("x/A.PDF")) == ("space", f"{key}.json", "application/pdf")
