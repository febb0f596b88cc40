"""Subjects on Slack: trained from photos, listed, shown, shared and forgotten."""

import pytest

from bot.photos.uploads import Upload
from storage.ids import new_id
from tests.conftest import photos_of_a_character
from tests.servers.slack.people import ADA, BOB, begun, images, labels, words
from tests.support.slack_bot import SPACE, Scene


async def test_a_subject_is_learned_from_the_photos_of_a_form(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/dreambooth", "train rex dog")
        form = await scene.slack.view()
        await scene.slack.submit(form, files=scene.slack.photos(photos_of_a_character(10)))
        message = await scene.slack.message(begun)
        job = await scene.job()
        await scene.hand.progress(job.id, "learning", 30, 120, samples=2)
        await scene.slack.message(lambda m: m is message and "1 min 30 s left" in m.text and len(images(m)) == 2)
        uploads = scene.server.count("files.completeUploadExternal")
        await scene.hand.progress(job.id, "learning", 60, 120, samples=2, losses=(0.9, 0.5, 0.1))
        assert "loss █▅▁ 0.100" in words(await scene.slack.message("60 of 120"))
        assert scene.server.count("files.completeUploadExternal") == uploads, "pictures are uploaded once"
        await scene.hand.train(job)
        end = await scene.slack.message(f"<@{ADA}> ")
        assert end.thread_ts == message.ts and "rex is ready" in end.text
        assert "photos" in images(end)[0]["alt_text"]
        assert labels(end) == ["Imagine", "Show", "Share", "Forget", "Details"]
        await scene.slack.press(end, "Imagine")
        assert "a [rex] dog in Paris" in str((await scene.slack.view()).body)
        assert [m for m in scene.slack.seen() if "<@" in m.text] == [end]


async def test_the_alt_text_of_photos_is_their_caption(scene: Scene) -> None:
    async with scene.bot():
        files = scene.slack.photos(photos_of_a_character(3))
        files[1].alt_text = "a dog on a sofa"
        await scene.slack.mention("train rex dog", files=files)
        subject = await scene.app.subjects.get((await scene.job()).subjects[0])
        assert [photo.caption for photo in subject.photos] == ["", "a dog on a sofa", ""]


async def test_photos_that_cannot_be_used_are_asked_about(scene: Scene) -> None:
    photos = (*photos_of_a_character(3), Upload(name="notes.png", data=b"not a picture"))
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos))
        question = await scene.slack.message("How shall I go on with rex?")
        assert "notes.png" in words(question) and labels(question) == ["Train", "Add photos", "Cancel"]
        await scene.slack.press(question, "Train", user=BOB)
        await scene.slack.message("Only the person who sent these photos", user=BOB)
        await scene.slack.press(question, "Add photos")
        more = scene.slack.photos(photos_of_a_character(6)[4:])
        await scene.slack.submit(await scene.slack.view(), files=more)
        job = await scene.job()
        subject = await scene.app.subjects.get(job.subjects[0])
        assert len(subject.photos) == 5
        assert scene.slack.seen() == [question], "the message with the question goes on with the training"


async def test_photos_of_any_message_are_taken_with_the_shortcut(scene: Scene) -> None:
    async with scene.bot():
        without = await scene.slack.say("no photos here")
        await scene.slack.shortcut(without)
        await scene.slack.message("There are no photos", user=ADA)
        message = await scene.slack.say("my dog", scene.slack.photos(photos_of_a_character(4), BOB), user=BOB)
        await scene.slack.shortcut(message, user=BOB)
        form = await scene.slack.view(BOB)
        assert "photos" not in [b["block_id"] for b in form.body["blocks"]]
        await scene.slack.submit(form, name="rex", **{"class": "dog"})
        job = await scene.job()
        assert job.owner == BOB


@pytest.mark.slow
async def test_of_many_subjects_the_newest_are_listed(scene: Scene) -> None:
    await scene.hand.keep(SPACE, ADA, 105)
    async with scene.bot():
        await scene.slack.slash("/dreambooth", "list")
        listed = await scene.slack.message("105 subjects", user=ADA)
        assert "… and 75 more" in words(listed) and len(images(listed)) == 10
        assert labels(listed)[:2] == ["pet-105", "pet-104"] and len(labels(listed)) == 100
        await scene.slack.press(listed, "pet-6")
        await scene.slack.message("pet-6, a dog", user=ADA)


async def test_subjects_are_listed_shown_shared_and_forgotten(scene: Scene) -> None:
    scene.slack.workspace.groups["S0PETS"] = [BOB]
    async with scene.bot():
        await scene.trained()
        await scene.slack.slash("/dreambooth", "share rex private")
        await scene.slack.message("rex can now be drawn by you and nobody else.", user=ADA)
        await scene.slack.slash("/dreambooth", "list", user=BOB)
        await scene.slack.message("No subjects yet", user=BOB)
        await scene.slack.slash("/dreambooth", "share rex @s0pets")
        await scene.slack.message("rex can now be drawn by you and everybody in @s0pets.", user=ADA)
        await scene.slack.slash("/dreambooth", "list", user=BOB)
        listed = await scene.slack.message("1 subject:", user=BOB)
        assert images(listed) and labels(listed) == ["rex"]
        await scene.slack.press(listed, "rex", user=BOB)
        shown = await scene.slack.message("a dog: write [rex]", user=BOB)
        await scene.slack.press(shown, "Forget", user=BOB)
        await scene.slack.message("Only the person who made this", user=BOB)
        await scene.slack.slash("/dreambooth", "retrain rex")
        again = await scene.job(2)
        await scene.slack.slash("/dreambooth", f"cancel {again.id}")
        await scene.slack.message("Stopped: /dreambooth retrain rex", user=ADA)
        await scene.slack.slash("/dreambooth", "forget rex")
        asked = await scene.slack.message("Forget rex? Its photos and everything learned", user=ADA)
        assert await scene.app.subjects.find(SPACE, "rex")
        await scene.slack.press(asked, "Forget")
        await scene.slack.message("Forgot rex", user=ADA)


@pytest.mark.slow
async def test_share_with_the_form(scene: Scene) -> None:
    scene.slack.workspace.groups["S0PETS"] = [BOB]
    async with scene.bot():
        end = await scene.trained()
        await scene.slack.press(end, "Share")
        form = await scene.slack.view()
        assert await scene.slack.suggestions(form, "group", "@s0") == ["S0PETS"]
        await scene.slack.submit(form, group="S0PETS")
        await scene.slack.message("rex can now be drawn by you and everybody in @s0pets.", user=ADA)


@pytest.mark.slow
async def test_many_subjects_are_a_menu(scene: Scene) -> None:
    async with scene.bot():
        await scene.trained()
        (rex,) = await scene.app.subjects.in_space(SPACE)
        for k in range(40):
            await scene.app.subjects.add(rex.model_copy(update={"id": new_id(), "name": f"rex-{k}"}))
        await scene.slack.slash("/dreambooth", "list")
        listed = await scene.slack.message("41 subjects:", user=ADA)
        assert len(labels(listed)) == 41
        await scene.slack.press(listed, "rex-7")
        await scene.slack.message("write [rex-7] in a prompt", user=ADA)
