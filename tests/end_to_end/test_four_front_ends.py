"""One scenario, told once, on Discord, on Slack, on the page and at the terminal, with a real worker behind each."""

import io
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from PIL import Image

from bot.app import Darkroom
from bot.connectors.discord.poster import DiscordPoster
from bot.connectors.slack.poster import SlackPoster
from bot.core.local_space import SPACE as LOCAL
from bot.photos.uploads import Upload
from storage.contract.subjects import weights_prefix
from tests.conftest import Stack, photos_of_a_character
from tests.support.front_ends import BOB, Front, Shown
from tests.support.front_ends.on_discord import on_discord
from tests.support.front_ends.on_slack import on_slack
from tests.support.front_ends.on_terminal import on_terminal
from tests.support.front_ends.on_web import on_web
from tests.support.manual_worker import is_picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(360)]

PHOTOS = (*photos_of_a_character(3), Upload(name="notes.png", data=b"not a picture"))
GOOD = photos_of_a_character(3, seed=5)
PROMPT = "a [rex] dog in Paris"
CALLING = "@everyone <!channel> <@U0BOB> &amp; *a* _dog_ `at` https://a.example/#1 狗🐕"
WRONG = (
    ("imagine", {"prompt": "a [nobody] in Paris"}, "There is no subject called nobody. Known here: rex."),
    ("imagine", {"prompt": "a [rex] and a [tom]"}, "There is no subject called tom. Known here: rex."),
    ("imagine", {"prompt": "[rex]"}, "Say more than [rex]: where it is or what it does"),
    ("imagine", {"prompt": "a dog", "subject": "rex"}, "To draw rex, write [V] or [rex] in the prompt"),
    ("dreambooth show", {"name": "rax"}, "There is no subject called rax. Did you mean rex?"),
    ("dreambooth share", {"name": "rex"}, "Say with whom: private, channel, space, or a role or user group."),
    ("dreambooth cancel", {"job": "abcdef"}, "There is no job abcdef here."),
    ("dreambooth cancel", {"job": "rex"}, "rex is not a job."),
)
WRONG_TRAININGS = (
    ("REX", "dog", GOOD, "There is already a subject called rex here. Choose another name."),
    ("a/b", "dog", GOOD, "A name is made of letters, digits, - and _ only."),
    ("tom", "1", GOOD, "A kind of thing is a word or two of letters"),
    ("tom", "dog", PHOTOS[3:], "notes.png is not a picture"),
)


@pytest.fixture(params=["discord", "slack", "web", "terminal"])
async def front(
    request: pytest.FixtureRequest, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: Darkroom
) -> AsyncIterator[Front]:
    """Each front end in turn, at a test's pace; nothing of its space is left for other tests."""
    for poster in (DiscordPoster, SlackPoster):
        monkeypatch.setattr(poster, "edit_every_s", 0.1)
        monkeypatch.setattr(poster, "channel_rate", (20, 1.0))
    started: dict[str, AbstractAsyncContextManager[Front]] = {
        "discord": on_discord(stack),
        "slack": on_slack(stack),
        "web": on_web(stack),
        "terminal": on_terminal(stack, tmp_path),
    }
    for subject in await app.subjects.in_space(LOCAL):  # which other tests have left
        await app.subjects.forget(subject)
    async with started[request.param] as front:
        yield front
    for subject in await app.subjects.in_space(front.space):
        await app.subjects.forget(subject)
    for job in await app.dispatch.jobs(front.space):
        await app.store.delete_prefix(f"jobs/{job.id}/")
    await app.store.delete_prefix("chats/")


async def test_from_photos_to_pictures_and_back(front: Front, app: Darkroom) -> None:
    await front.say("help")
    helped = await front.sees("imagine", "train")
    assert "forget" in helped.text
    await chooses(front, await learns(front), app)
    await is_listed(front)
    drawn = await draws(front)
    await draws_more(front, drawn)
    await is_shared(front)
    await refuses(front)
    await calls_nobody(front)
    await is_cancelled(front)
    await is_forgotten(front)


async def learns(front: Front) -> Shown:
    """Of four photos one is bad: that is asked about, or at least said; the end is told once."""
    how = {"class": "dog", "steps": 60, "choose": "yes", "set": "candidates=2"}
    await front.say("dreambooth train", photos=PHOTOS, name="rex", **how)
    if front.asks:
        question = await front.sees("3 of 4 photos can be used.", "notes.png", "How shall I go on with rex?")
        assert {"Train", "Add photos", "Cancel"} <= set(question.labels)
        await front.press(question, "Train")
    working = await front.finds(lambda message: bool(re.search(front.learning, message.text)), within_s=180)
    assert re.search("3( of 4)? photos used", working.text)
    ready = {"Imagine", "Show", "Share", "Forget", "Details"} if front.graphic else set()
    said = await front.finds(
        lambda m: "rex is ready. Write [rex] in a prompt" in m.text and ready <= set(m.labels), within_s=180
    )
    assert len(await announced(front, "rex is ready")) == 1
    return said


async def chooses(front: Front, said: Shown, app: Darkroom) -> None:
    """The candidates are shown as large as they are, with a button each; one is chosen, and the others are gone."""
    before = await app.subjects.find(front.space, "rex")
    assert before and before.choices and [c.step for c in before.candidates] == [12, 60]
    await front.say("dreambooth show", name="rex")
    shown = await front.sees("Which candidate should be kept?", "write [rex] in a prompt")
    for message in (said, shown):
        assert "Which candidate should be kept?" in message.text and (
            not front.graphic or {"12 steps", "60 steps"} < set(message.labels)
        )
        with Image.open(io.BytesIO(await front.sheet(message))) as sheet:
            assert sheet.size == (before.choices.width_px, before.choices.height_px)
    await front.choose(said, 12)
    await front.sees("rex is now as it was after 12 steps.")
    rex = await app.subjects.find(front.space, "rex")
    assert rex and await app.store.names(weights_prefix(rex.id)) == [before.candidates[0].weights_key]
    await front.choose(shown, 60)
    await front.sees("rex was chosen already, or trained again since.")


async def announced(front: Front, words: str) -> list[Shown]:
    """The messages that say it to Ada, for her to look up."""
    return [m for m in await front.screen("ada") if words in m.text and (front.alone or "ada" in m.rings)]


async def is_listed(front: Front) -> None:
    """The list shows it."""
    await front.say("dreambooth list")
    await front.sees("1 subject:", "rex", "dog, ready")


async def draws(front: Front) -> Shown:
    """Four pictures, all different, described where they are shown."""
    await front.say("imagine", prompt=PROMPT, count=4, seed=7)
    drawn = await finished(front)
    pictures = {await front.full(drawn, number) for number in (1, 2, 3, 4)}
    assert len(pictures) == 4 and all(map(is_picture, pictures))
    return drawn


async def finished(front: Front) -> Shown:
    """The pictures that were asked for last."""

    def done(message: Shown) -> bool:
        offered = "Again" in message.labels and bool(message.alts)
        return PROMPT in message.text and (offered if front.graphic else "picture 4" in message.text)

    drawn = await front.finds(done)
    assert all("rex" in alt for alt in drawn.alts)
    return drawn


async def draws_more(front: Front, drawn: Shown) -> None:
    """The same again with another seed, variations of one picture, and what made them."""
    await front.press(drawn, "Details")
    await front.sees("7, 8, 9, 10", PROMPT)
    await front.press(drawn, "Again")
    again = await finished(front)
    assert again.id != drawn.id and await front.full(again, 1) != await front.full(drawn, 1)
    await front.vary(drawn, 2)
    varied = await finished(front)
    await front.press(varied, "Details")
    await front.sees("vary seed", "8")


async def is_shared(front: Front) -> None:
    """What is private nobody else knows; what is shared others may draw."""
    await front.say("dreambooth share", name="rex", **{"with": "private"})
    await front.sees("rex can now be drawn by you and nobody else.")
    if not front.alone:
        await front.say("imagine", BOB, prompt=PROMPT)
        await front.sees("There is no subject called rex.", who=BOB)
    await front.say("dreambooth share", name="rex", **{"with": "space"})
    await front.sees("rex can now be drawn by you and everybody here.")
    if not front.alone:
        await front.say("imagine", BOB, prompt=PROMPT)
        await finished(front)


async def refuses(front: Front) -> None:
    """What is wrong is said in the same sentences everywhere, to nobody else."""
    public = len(await front.screen(BOB))
    for command, options, sentence in WRONG:
        await front.say(command, **options)
        await front.sees(sentence)
    for name, noun, photos, sentence in WRONG_TRAININGS:
        await front.say("dreambooth train", photos=photos, name=name, **{"class": noun})
        await front.sees(sentence)
    assert front.alone or len(await front.screen(BOB)) == public


async def calls_nobody(front: Front) -> None:
    """A prompt arrives letter by letter, and rings nowhere."""
    await front.say("imagine", prompt=CALLING, count=1)
    drawn = await front.finds(lambda m: CALLING in m.text and ("Again" in m.labels or "picture 1" in m.text))
    assert not drawn.rings


async def is_cancelled(front: Front) -> None:
    """A running training is stopped, and leaves nothing."""
    await front.say("dreambooth train", photos=GOOD, name="doomed", **{"class": "dog", "steps": 4000})
    running = await front.finds(lambda message: bool(re.search(front.learning, message.text)), within_s=180)
    await front.press(running, "Cancel")
    await front.sees("Stopped: ")
    await front.sees("Cancelled")
    await front.say("dreambooth list")
    assert "doomed" not in (await front.sees("1 subject:")).text


async def is_forgotten(front: Front) -> None:
    """What cannot be undone is asked first; then all of it is gone."""
    for sure in (False, True):
        await front.say("dreambooth list")
        await front.sees("dog, ready")
        await front.say("dreambooth forget", name="rex")
        question = await front.sees("Forget rex? Its photos and everything learned from them are deleted for good.")
        await front.decide(question, sure)
    await front.sees("Forgot rex: ")
    await front.say("imagine", prompt=PROMPT)
    await front.sees("There is no subject called rex. There are none yet")
