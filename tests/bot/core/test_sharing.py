"""Who may see, draw and change a subject, as conversations of several people in one space."""

import pytest

from storage.contract.subjects import Subject
from tests.conftest import Chat

pytestmark = pytest.mark.timeout(300)


async def ready(chat: Chat, name: str = "rex", **more: str) -> Subject:
    """A subject that is there to be drawn, without the minutes of learning it."""
    subject = Subject(
        space=chat.space, owner=chat.user, name=name, noun="dog", identifier="zof", base_model="-", state="ready"
    ).model_copy(update=more)
    await chat.app.subjects.add(subject)
    return subject


async def sees(chat: Chat) -> bool:
    return "rex" in (await chat("dreambooth list"))[-1].facts


async def test_a_subject_is_for_the_whole_space_until_it_is_private(chat: Chat) -> None:
    await ready(chat)
    friend = chat.by("friend")
    assert await sees(friend)
    said = (await chat("dreambooth share", name="rex", audience="private"))[-1].text
    assert said == "rex can now be drawn by you and nobody else."
    assert await sees(chat) and not await sees(friend)
    assert "no subject called rex" in (await friend("imagine", prompt="a [rex] dog"))[-1].text
    assert not await sees(chat.by("warden", moderates="space"))


async def test_sharing_with_a_channel_and_with_a_group(chat: Chat) -> None:
    await ready(chat)
    here, there = chat.by(chat.user, channel="general"), chat.by("friend", channel="random")
    await here("dreambooth share", name="rex", audience="channel")
    assert await sees(chat.by("friend", channel="general")) and not await sees(there)
    await here("dreambooth share", name="rex", group="4711")
    assert await sees(chat.by("friend", groups=("1", "4711"))) and not await sees(chat.by("friend", groups=("1",)))


OWNER, OR_MODERATOR = "the person who made this", "the person who made this, or a moderator,"


@pytest.mark.parametrize(("command", "who"), [("share", OWNER), ("retrain", OWNER), ("forget", OR_MODERATOR)])
async def test_only_its_owner_changes_a_subject(chat: Chat, command: str, who: str) -> None:
    await ready(chat)
    more = {"audience": "private"} if command == "share" else {}
    reply = (await chat.by("friend")(f"dreambooth {command}", name="rex", **more))[-1]
    assert reply.text == f"Only {who} can {command} it." and reply.fault == "input"
    assert await sees(chat.by("friend"))


async def test_spaces_never_see_each_others_subjects(chat: Chat) -> None:
    await ready(chat)
    elsewhere = Chat(chat.app, f"{chat.space} elsewhere", chat.user, moderates="space")
    assert not await sees(elsewhere)
    assert "no subject called rex" in (await elsewhere("dreambooth show", name="rex"))[-1].text


async def test_sharing_needs_to_be_told_with_whom(chat: Chat) -> None:
    await ready(chat)
    assert "Say with whom" in (await chat("dreambooth share", name="rex"))[-1].text
