"""Photos of which some are refused, where the person can be asked what now."""

import pytest

from bot.app import Darkroom
from bot.commands import drafts
from bot.core.messages import Reply
from bot.photos.uploads import Upload
from storage.contract.subjects import Subject
from storage.ids import new_id
from tests.conftest import Chat, photos_of_a_character
from tests.support.waiting import names_become

pytestmark = pytest.mark.timeout(300)
TEXT = Upload(name="notes.jpg", data=b"no picture at all")


def pressed(reply: Reply, label: str) -> tuple[str, dict[str, str]]:
    button = next(b for b in reply.buttons if b.label == label)
    return button.command, button.arguments


@pytest.fixture
def asked(chat: Chat) -> Chat:
    return chat.by("ann", confirmed=False)


async def question(chat: Chat) -> Reply:
    return (await chat("dreambooth train", (*photos_of_a_character(2), TEXT), name="rex", noun="dog", steps=2))[-1]


async def test_the_question_says_what_became_of_each_photo(asked: Chat) -> None:
    reply = await question(asked)
    assert reply.text.startswith("2 of 3 photos can be used. How shall I go on with rex?")
    assert list(reply.facts) == ["notes.jpg"] and [b.label for b in reply.buttons] == ["Train", "Add photos", "Cancel"]
    assert reply.job is None and not await asked.app.subjects.in_space(asked.space)


async def test_train_goes_on_with_the_good_ones(asked: Chat) -> None:
    command, arguments = pressed(await question(asked), "Train")
    replies = await asked(command, **arguments)
    assert replies[-1].state == "done", replies[-1].text
    (subject,) = await asked.app.subjects.in_space(asked.space)
    assert subject.name == "rex" and len(subject.photos) == 2
    assert "answered already" in (await asked(command, **arguments))[-1].text


@pytest.mark.slow
async def test_more_photos_are_vetted_beside_those_that_wait(asked: Chat) -> None:
    command, arguments = pressed(await question(asked), "Add photos")
    again = (await asked(command, photos_of_a_character(1), **arguments))[-1]
    assert again.text.startswith("2 of 3 photos can be used.")
    assert again.facts == {"rex-1.png (photo 3)": "is a near-duplicate of rex-1.png (photo 1)"}
    command, arguments = pressed(again, "Add photos")
    replies = await asked(command, photos_of_a_character(4)[2:], **arguments)
    assert "4 photos used." in replies[-1].text and replies[-1].state == "done"


async def test_cancel_leaves_nothing(asked: Chat, app: Darkroom) -> None:
    command, arguments = pressed(await question(asked), "Cancel")
    assert "was not trained" in (await asked(command, **arguments))[-1].text
    assert not await app.store.names(drafts.prefix(arguments["draft"]))


async def test_a_name_is_free_again_where_a_process_died_before_its_training_was_accepted(asked: Chat) -> None:
    left = Subject(space=asked.space, owner=asked.user, name="rex", noun="dog", base_model="-", job=new_id())
    await asked.app.subjects.add(left)
    assert "already a subject called rex" in (await question(asked)).text
    await asked.app.subjects.change(left.id, lambda s: s.model_copy(update={"created_s": s.created_s - 61}))
    assert "already a subject called rex" in (await question(asked.by("bob", confirmed=False))).text
    assert "How shall I go on with rex?" in (await question(asked)).text


async def test_somebody_else_cannot_answer_the_question(asked: Chat) -> None:
    reply = await question(asked)
    for label in ("Train", "Cancel", "Add photos"):
        command, arguments = pressed(reply, label)
        said = (await asked.by("bob", confirmed=False)(command, photos_of_a_character(1), **arguments))[-1]
        assert said.text.startswith("Only the person who sent these photos") and said.fault == "input"


async def test_drafts_of_days_ago_are_swept_away(asked: Chat, app: Darkroom) -> None:
    fresh = pressed(await question(asked), "Train")[1]["draft"]
    old = f"{'0' * 12}{fresh[12:]}"
    await app.store.put(f"{drafts.prefix(old)}draft.json", b"{}")
    await drafts.sweep(app.store)
    assert not await app.store.names(drafts.prefix(old)) and await app.store.names(drafts.prefix(fresh))


async def test_where_nobody_can_be_asked_the_good_photos_are_used(chat: Chat) -> None:
    assert (await question(chat)).state == "done"


async def test_retraining_keeps_what_was_learned_until_there_is_better(chat: Chat) -> None:
    await chat("dreambooth train", photos_of_a_character(2), name="rex", noun="dog", steps=2)
    (before,) = await chat.app.subjects.in_space(chat.space)
    assert (await chat("dreambooth retrain", name="rex", steps=3))[-1].state == "done"
    (after,) = await chat.app.subjects.in_space(chat.space)
    assert after.id == before.id and after.weights_sha256 != before.weights_sha256 and after.job != before.job
    await names_become(chat.app.store, f"subjects/{after.id}/weights/", [after.weights_key])
