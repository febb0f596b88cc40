"""Files that people send on both chats: judged by their bytes; what is no photo is said before a form opens."""

from dataclasses import replace

import pytest

from storage.kinds.train import TrainJob
from tests.conftest import photos_of_a_character
from tests.servers.discord import Discord, File
from tests.servers.discord.world import ALL_PERMISSIONS, Message
from tests.servers.slack.people import ADA, BOB, words
from tests.servers.slack.workspace import Json
from tests.support.discord_bot import SPACE as SERVER
from tests.support.discord_bot import photos
from tests.support.manual_worker import Hand
from tests.support.quick import slow_but
from tests.support.slack_bot import SPACE, Scene

pytestmark = pytest.mark.timeout(300)

MENU = "Train on these photos"
VOICE = 1 << 13


@pytest.mark.parametrize("mimetype", slow_but(["", "application/octet-stream", None], None), ids=str)
async def test_the_shortcut_takes_files_of_which_slack_does_not_know_the_kind(scene: Scene, mimetype: str) -> None:
    files = scene.slack.photos(photos_of_a_character(3))
    for file in files:
        file.told = {"mimetype": mimetype, "filetype": "binary"}
    async with scene.bot():
        await scene.slack.shortcut(await scene.slack.say("my dog", files))
        await scene.slack.submit(await scene.slack.view(), name="rex", **{"class": "dog"})
        job = await scene.job()
        assert isinstance(job, TrainJob)
        assert len((await scene.app.subjects.get(job.subjects[0])).photos) == 3


async def test_the_shortcut_takes_forwarded_photos_if_who_posted_them_agrees(scene: Scene) -> None:
    async with scene.bot():
        posted = await scene.slack.say("my dog", scene.slack.photos(photos_of_a_character(3), user=BOB), user=BOB)
        forwarded = await scene.slack.say("look")
        forwarded.shares = [posted]
        await scene.slack.shortcut(forwarded)
        await scene.slack.submit(await scene.slack.view(), name="rex", **{"class": "dog"})
        question = await scene.slack.message(f"<@{ADA}> would like to train rex, a dog")
        assert not await scene.hand.jobs(SPACE)
        await scene.slack.press(question, "Allow", user=BOB)
        job = await scene.job()
        assert isinstance(job, TrainJob) and job.owner == ADA
        assert len((await scene.app.subjects.get(job.subjects[0])).photos) == 3


NONE: dict[str, tuple[list[Json], str]] = {
    "voice": ([{"mimetype": "audio/webm", "subtype": "slack_audio"}], "only a voice message."),
    "video": ([{"mimetype": "video/mp4", "name": "a.mp4"}] * 2, "only a video."),
    "paper": ([{"mimetype": "application/pdf", "name": "a.pdf"}], "only a file that is no picture (a.pdf)."),
    "deleted": ([{"mode": "tombstone", "mimetype": None, "name": None}], "only a file that was deleted."),
    "hidden": ([{"mode": "hidden_by_limit", "mimetype": None}], "only a file that is hidden by Slack"),
    "outside": ([{"mode": "external", "is_external": True}], "only a file that is kept outside Slack"),
    "nothing": ([], "There are no photos in that message. Choose one with photos."),
}


async def test_what_is_no_photo_on_slack_is_said_before_a_form_opens(scene: Scene) -> None:
    async with scene.bot():
        for files, sentence in NONE.values():
            odd = [scene.slack.workspace.add_file("rex.png", b"-", ADA) for _ in files]
            for file, told in zip(odd, files, strict=True):
                file.told = told
            await scene.slack.shortcut(await scene.slack.say("look", odd))
            await scene.slack.message(sentence, user=ADA)
        assert not scene.slack.workspace.views


async def test_files_of_a_channel_shared_with_another_company_are_looked_up(scene: Scene) -> None:
    files = scene.slack.photos(photos_of_a_character(4))
    for file in files:
        file.untold = True
    files[3].told = {"mode": "external", "is_external": True}
    async with scene.bot():
        scene.server.trouble("files.info", retry_after_s=0, times=2)
        await scene.slack.mention("train rex dog", files=files)
        question = await scene.slack.message("How shall I go on with rex?")
        assert question.text.startswith("3 of 4 photos can be used.") and "is kept outside Slack" in words(question)


async def test_photos_that_are_added_to_a_direct_message_later_are_read(scene: Scene) -> None:
    slack, place = scene.slack, scene.slack.workspace.conversation_with(ADA)
    space = f"{SPACE}:{place.id}"
    async with scene.bot():
        before = slack.workspace.post(place, ADA, "train rex dog")
        files = slack.photos(photos_of_a_character(3))
        after = replace(before, files=[file.id for file in files])
        await slack.deliver("events_api", slack.payloads.edited(after, before))
        job = await scene.hand.job(space)
        assert isinstance(job, TrainJob)
        await slack.deliver("events_api", slack.payloads.edited(after, after))  # an unfurled link, say
        await slack.slash("/darkroom", "help")
        await slack.message("Send a few photos", user=ADA)
        assert len(await scene.hand.jobs(space)) == 1


async def test_the_menu_takes_forwarded_photos_and_files_of_no_known_kind(discord: Discord, hand: Hand) -> None:
    files = photos()
    for file in files:
        file.kind = ""
    forwarded = discord.post("bob", "", *files)
    message = discord.post("ada", "look")
    message.forwards = [forwarded]
    form = await discord.message_menu(MENU, message)
    await discord.submit(form, name="rex", **{"class": "dog"})
    job = await hand.job(SERVER)
    assert isinstance(job, TrainJob)
    assert len((await hand.app.subjects.get(job.subjects[0])).photos) == 3


async def test_what_is_no_photo_on_discord_is_said_before_a_form_opens(discord: Discord) -> None:
    voice = discord.post("ada", "", File("voice-message.ogg", b"-", "audio/ogg"))
    voice.flags = VOICE
    video, sticker = discord.post("ada", "", File("a.mp4", b"-", "video/mp4")), discord.post("ada", "")
    sticker.stickers = ["wave"]
    both = discord.post("ada", "")
    both.forwards = [video, sticker]
    said: dict[str, Message] = {"only a voice message.": voice, "only a video.": video, "only a sticker.": sticker}
    said |= {"only a video and a sticker.": both, "no photos in that message. Choose": discord.post("ada", "hello")}
    for sentence, message in said.items():
        asked = await discord.message_menu(MENU, message)
        assert asked.answer == 4 and sentence in asked.message.text, asked.message.text


async def test_nothing_begins_where_the_bot_cannot_answer(discord: Discord, hand: Hand) -> None:
    message = discord.post("ada", "", *photos())
    discord.general.allows = 0
    asked = await discord.message_menu(MENU, message)
    assert "I lack permissions in this channel." in asked.message.text
    thread = discord.add_channel("walks", parent=discord.general.id, locked=True)
    thread.allows = ALL_PERMISSIONS & ~(1 << 34)
    asked = await discord.slash("imagine", prompt="a dog", where=thread)
    assert "This thread is locked" in asked.message.text
    assert not await hand.jobs(SERVER)
