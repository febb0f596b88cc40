"""Documents of a space: saved, extracted once, searched; and those that cannot be read say why."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.ask.documents import Documents
from storage.ask.filter_input import read_filters
from storage.objects.folder import FolderStore
from storage.objects.store import Store
from storage.settings.ask import AskSettings
from tests.trainer.ask.test_extract import pdf
from trainer.ask.documents.own_docs import own_docs
from trainer.ask.documents.sources import document_source
from trainer.ask.pages.extract import Extracted
from trainer.ask.retrieval import Query, Retrieval
from trainer.ask.retrieve import NO_SITE, Retriever

SPACE = "discord:1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "store")


@pytest.fixture
async def retriever(store: Store) -> AsyncIterator[Retriever]:
    opened = Retriever(AskSettings(), store)
    yield opened
    await opened.close()


async def ask(
    retriever: Retriever, text: str, space: str = SPACE, ids: tuple[str, ...] | None = None, **filters: str
) -> Retrieval:
    asked = Query(text, read_filters(mode="documents", **filters), space=space, document_ids=ids)
    return await retriever.retrieve(asked, lambda source: None)


async def test_a_document_answers_in_its_space_and_in_no_other(retriever: Retriever, store: Store) -> None:
    documents = Documents(store)
    handbook = b"# Handbook\n\nThe coffee machine is cleaned on Thursdays by Ada."
    saved = await documents.save(SPACE, "ada", "team/Handbook.md", handbook)
    await documents.save(SPACE, "ada", "notes.pdf", pdf("The spare key hangs behind the aquarium."))
    found = await ask(retriever, "When is the coffee machine cleaned?")
    assert "Thursdays" in found.passages[0].text and found.sources[0].title == "Handbook"
    assert "aquarium" in (await ask(retriever, "Where does the spare key hang?")).passages[0].text
    for other in (await ask(retriever, "When is the coffee machine cleaned?", "slack:2"),
                  await ask(retriever, "When is the coffee machine cleaned?", ids=())):  # fmt: skip
        assert not any("Thursdays" in passage.text for passage in other.passages)
    assert "Thursdays" in (await ask(retriever, "coffee machine cleaned", ids=(saved.as_read,))).passages[0].text
    # What takes its name later was not what the policy was asked about.
    await documents.save(SPACE, "ada", "team/Handbook.md", b"The coffee machine is cleaned on Fridays, in secret.")
    later = await ask(retriever, "coffee machine cleaned", ids=(saved.as_read,))
    assert not any("secret" in passage.text for passage in later.passages)


@pytest.mark.slow
async def test_a_replaced_document_is_read_anew_and_a_deleted_one_is_gone(retriever: Retriever, store: Store) -> None:
    documents = Documents(store)
    await documents.save(SPACE, "ada", "rota.txt", b"The coffee machine is cleaned by Ada.")
    assert "Ada" in (await ask(retriever, "Who cleans the coffee machine?")).passages[0].text
    changed = await documents.save(SPACE, "bob", "ROTA.txt", b"The coffee machine is cleaned by Bob.")
    assert "Bob" in (await ask(retriever, "Who cleans the coffee machine?")).passages[0].text
    await documents.delete(changed)
    assert not any("Bob" in p.text for p in (await ask(retriever, "Who cleans the coffee machine?")).passages)
    assert await store.names("documents/") == []


@pytest.mark.slow
async def test_a_text_is_extracted_once_for_all_workers(retriever: Retriever, store: Store) -> None:
    documents = Documents(store)
    saved = await documents.save(SPACE, "ada", "rota.txt", b"The coffee machine is cleaned by Ada.")
    await ask(retriever, "coffee machine")
    assert await store.exists(saved.text_key)
    await store.put(saved.text_key, (await store.get(saved.text_key)).data.replace(b"Ada", b"Eve"))
    other = Retriever(AskSettings(), store)
    assert "Eve" in (await ask(other, "Who cleans the coffee machine?")).passages[0].text, "it was not extracted again"
    await store.put(saved.text_key, b"damaged")
    await other.close()
    third = Retriever(AskSettings(), store)
    assert "Ada" in (await ask(third, "Who cleans the coffee machine?")).passages[0].text
    await third.close()


async def test_documents_that_cannot_be_read_say_why(retriever: Retriever, store: Store) -> None:
    documents = Documents(store)
    await documents.save(SPACE, "ada", "locked.pdf", pdf("x", password="secret"))
    await documents.save(SPACE, "ada", "scan.pdf", pdf())
    lost = await documents.save(SPACE, "ada", "lost.txt", b"words")
    await store.delete(lost.content_key)
    notices = " ".join((await ask(retriever, "What is in the scan?")).notices)
    assert "locked.pdf is encrypted: I cannot read it without its password." in notices
    assert "scan.pdf has no text, only pictures of pages: it may be a scan." in notices
    assert "lost.txt cannot be read" in notices


async def test_filters_hold_for_documents(retriever: Retriever, store: Store) -> None:
    documents = Documents(store)
    for day in ("2026-05-01", "2020-05-01"):
        page = f'<meta property="article:published_time" content="{day}"><p>The coffee machine of {day} is red.</p>'
        await documents.save(SPACE, "ada", f"{day}.html", page.encode())
    found = await ask(retriever, "Which colour has the coffee machine?", after="2026-01-01")
    assert [source.title for source in found.sources] == ["2026-05-01.html"]
    assert any("without a date could not be used" in notice for notice in found.notices), "our own docs"
    none = await ask(retriever, "Which colour has the coffee machine?", domains="coffee.test")
    assert not none.sources and none.notices == (NO_SITE,)


@pytest.mark.slow
async def test_darkrooms_own_docs_are_there_from_the_start(retriever: Retriever) -> None:
    for question, words in {
        "How do I share a subject with a role?": "share",
        "How do I restore a backup of the store?": "backup",
        "Which setting names the port of the web chat?": "DARKROOM_PORT",
        "How do I install the Slack app?": "manifest",
        "What is a recipe preset?": "preset",
    }.items():
        found = await ask(retriever, question)
        assert any(words in passage.text for passage in found.passages[:3]), question


def test_all_pages_of_the_docs_are_among_them() -> None:
    names = {text.source.url for text in own_docs()}
    assert {"document:darkroom/README.md", "document:darkroom/operating.md", "document:darkroom/commands.md"} <= names


def test_a_persons_document_named_like_one_of_ours_is_another_source() -> None:
    ours = own_docs()[0].source
    theirs = document_source("darkroom/README.md", Extracted(text="x"), "documents")
    assert ours.url == theirs.url and ours.id != theirs.id
