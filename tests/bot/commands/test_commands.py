"""Each command as a conversation, over the real queue, store and worker."""

import pytest

from bot.app import Darkroom
from bot.photos.uploads import Upload
from tests.conftest import Chat, photos_of_a_character
from tests.support.stores import records

pytestmark = pytest.mark.timeout(300)


async def test_a_first_conversation(chat: Chat) -> None:
    assert (await chat("dreambooth list"))[-1].text.startswith("No subjects yet.")
    assert (await chat("jobs"))[-1].text == "No jobs yet."
    assert "/imagine PROMPT [--option value …]" in (await chat("help"))[-1].facts
    await chat("dreambooth train", photos_of_a_character(), name="rex", noun="dog", steps=2)
    assert (await chat("dreambooth list"))[-1].facts == {"rex": "dog, ready"}
    shown = (await chat("dreambooth show", name="REX"))[-1]
    assert shown.facts["steps"] == "2" and len(shown.pictures) == 2
    drawn = (await chat("imagine", prompt="a [rex] dog in Paris", count=2, steps=2))[-1]
    again = (await chat("again", job=drawn.job))[-1]
    assert len(again.pictures) == 2 and again.pictures[0].seed != drawn.pictures[0].seed
    varied = (await chat("variations", job=drawn.job, seed=drawn.pictures[0].seed))[-1]
    assert varied.facts["vary seed"] == str(drawn.pictures[0].seed)
    assert len((await chat("jobs"))[-1].facts) == 4
    assert (await chat("delete", job=drawn.job))[-1].text == "Deleted 2 pictures."
    assert len((await chat("jobs"))[-1].facts) == 3
    assert (await chat("dreambooth forget", name="rex"))[-1].text.startswith("Forgot rex:")
    assert (await chat("jobs"))[-1].text == "No jobs yet."


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("dreambooth show", {"name": "nobody"}, "There is no subject called nobody."),
        ("dreambooth forget", {"name": "nobody"}, "There is no subject called nobody."),
        ("dreambooth cancel", {"job": "abcdef"}, "There is no job abcdef here."),
        ("dreambooth cancel", {"job": "../../x"}, "../../x is not a job."),
        ("again", {"job": "abcdef"}, "There is no job abcdef here."),
        ("imagine", {"prompt": "[V]"}, "You have no subject yet"),
        ("imagine", {}, "Please give a prompt"),
        ("nonsense", {}, "There is no command /nonsense."),
        ("dreambooth train", {"name": "rex", "noun": "dog"}, "Add a few photos of it"),
    ],
)
async def test_bad_input_is_answered_in_a_sentence(
    chat: Chat, app: Darkroom, command: str, arguments: dict[str, str], sentence: str
) -> None:
    before = await records(app.store)
    (reply,) = await chat(command, **arguments)
    assert (reply.state, reply.fault) == ("failed", "input")
    assert sentence in reply.text
    assert await records(app.store) == before


async def test_too_many_photos(chat: Chat) -> None:
    photos = photos_of_a_character(1) * 40
    assert (await chat("dreambooth train", photos, name="rex", noun="dog"))[-1].text.startswith("That is 40 photos")


async def test_photos_of_which_none_can_be_used_train_nothing(chat: Chat, app: Darkroom) -> None:
    before = await records(app.store)
    uploads = (Upload(name="notes.jpg", data=b"buy milk"), Upload(name="empty.png", data=b""))
    reply = (await chat("dreambooth train", uploads, name="rex", noun="dog"))[-1]
    assert (reply.state, reply.fault) == ("failed", "input")
    assert "notes.jpg is not a picture" in reply.text and reply.text.endswith("Nothing was trained.")
    assert await records(app.store) == before


async def test_one_bad_photo_does_not_sink_the_others(chat: Chat) -> None:
    good = photos_of_a_character(2)
    uploads = (*good, Upload(name="notes.jpg", data=b"buy milk"), Upload(name="copy.png", data=good[0].data))
    reply = (await chat("dreambooth train", uploads, name="rex", noun="dog", steps=1))[-1]
    assert reply.text.startswith("2 of 4 photos used; ")
    assert "copy.png is a near-duplicate of rex-1.png" in reply.text


async def test_a_name_can_be_had_once_in_a_space(chat: Chat, app: Darkroom) -> None:
    await chat("dreambooth train", photos_of_a_character(), name="rex", noun="dog", steps=1)
    taken = (await chat("dreambooth train", photos_of_a_character(), name="Rex", noun="dog", steps=1))[-1]
    assert taken.text == "There is already a subject called rex here. Choose another name."
    elsewhere = Chat(app, space=f"{chat.space}/other")
    reply = (await elsewhere("dreambooth train", photos_of_a_character(), name="rex", noun="dog", steps=1))[-1]
    assert reply.state == "done"


async def test_spaces_never_see_each_other(chat: Chat, app: Darkroom) -> None:
    drawn = (await chat("imagine", prompt="a dog", count=1, steps=1))[-1]
    elsewhere = Chat(app, space=f"{chat.space}/other")
    assert (await elsewhere("jobs"))[-1].text == "No jobs yet."
    assert "There is no job" in (await elsewhere("delete", job=drawn.job))[-1].text
    assert await app.store.exists(drawn.pictures[0].key)
