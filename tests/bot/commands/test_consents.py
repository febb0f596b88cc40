"""Questions about photos of others go with the people whom they are about."""

from pathlib import Path

import pytest

from bot.commands import consents
from bot.commands.consents import Consent
from bot.core.messages import Request
from bot.core.policy import Actor
from storage.ids import new_id
from storage.objects.folder import FolderStore


def asked(space: str, user: str, author: str) -> Consent:
    arguments = {"name": "rex", "class": "dog"}
    request = Request(space=space, user=user, command="dreambooth train", arguments=arguments)
    return Consent(id=new_id(), author=author, request=request, photos=())


@pytest.mark.parametrize(
    ("space", "person", "goes"),
    [
        ("slack:T1", "ada", True),  # who asked
        ("slack:T1:D7", "eve", True),  # whose photos they are, wherever they say it
        ("slack:T1", "bob", False),
        ("slack:T2", "ada", False),  # somebody else, of another workspace
        ("discord:1", "ada", False),
    ],
)
async def test_who_is_forgotten_leaves_no_question(space: str, person: str, goes: bool, tmp_path: Path) -> None:
    store, consent = FolderStore(tmp_path), asked("slack:T1", "ada", "eve")
    key = f"consents/{consent.id}.json"
    await store.put(key, consent.model_dump_json().encode())
    await store.put(f"consents/{new_id()}.json", b"junk")
    await consents.forget(store, Actor(space=space, person=person))
    assert await store.exists(key) is not goes
