"""Each kind of prior preservation through the real queue: from photos in a chat to a drawn picture."""

import pytest

from bot.app import Darkroom
from tests.conftest import Chat, photos_of_a_character
from tests.support.quick import pairs_slow_but

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("prior", "noun"),
    pairs_slow_but([("class_set", "dog"), ("teacher", "teapot"), ("none", "mug")], ("teacher", "teapot")),
)  # whose class sets no other test has drawn
async def test_a_subject_is_learned_and_drawn(chat: Chat, app: Darkroom, prior: str, noun: str) -> None:
    before = await app.store.names("classes/")
    how = {"name": "rex", "noun": noun, "steps": 2, "set": f"prior={prior} report_card=false candidates=1"}
    reply = (await chat("dreambooth train", photos_of_a_character(), **how))[-1]
    assert reply.state == "done", reply.text
    subject = await app.subjects.find(chat.space, "rex")
    assert subject and subject.recipe["prior"] == prior
    assert bool(subject.class_set) == (prior == "class_set")
    if prior != "class_set":
        assert await app.store.names("classes/") == before
    (drawn,) = (await chat("imagine", prompt=f"a [rex] {noun} in Paris", count=1))[-1].pictures
    assert (await app.store.get(drawn.key)).data
