"""Subjects on Discord: trained from photos, listed, shown, shared, trained again and forgotten."""

from dataclasses import replace

import pytest

from storage.kinds.train import TrainJob
from tests.servers.discord import Discord, File
from tests.servers.discord.world import GUILD
from tests.support.discord_bot import SPACE, Place, options, photos, trained
from tests.support.manual_worker import Hand

pytestmark = pytest.mark.timeout(300)


async def test_train_from_command_to_announcement(discord: Discord, hand: Hand) -> None:
    asked = await discord.slash("dreambooth train", name="rex", class_="dog", **options(photos(10)))
    job = await hand.job(SPACE)
    assert len((await hand.app.subjects.get(job.subjects[0])).photos) == 10
    await hand.progress(job.id, "learning", 100, 400, samples=2, losses=(0.9, 0.5, 0.1))
    await discord.until(lambda: "Learning, 100 of 400" in asked.message.text and len(asked.message.attachments) == 2)
    assert "loss █▅▁ 0.100" in asked.message.text
    await hand.train(job)
    (said,) = await discord.until(lambda: [m for m in discord.visible(discord.general) if m.pings])
    assert said.pings == [discord.people["ada"].id]
    assert said.reference["message_id"] == asked.message.id
    assert said.labels == ["Imagine", "Show", "Share", "Forget", "Details"]
    (sheet,) = said.attachments
    assert "photos" in sheet["description"]
    await discord.until(lambda: "is ready" in asked.message.text)
    assert not asked.message.pings


async def test_train_without_photos_opens_a_form(discord: Discord, hand: Hand) -> None:
    form = await discord.slash("dreambooth train", name="rex")
    sent = await discord.submit(form, files=photos(3), **{"class": "dog"})
    job = await hand.job(SPACE)
    assert job.said == "/dreambooth train rex dog"
    await discord.until(lambda: "3 photos used" in sent.message.text)


async def test_train_on_the_photos_of_a_message(discord: Discord, hand: Hand) -> None:
    posted = discord.post("ada", "my dog", *photos(4))
    form = await discord.message_menu("Train on these photos", posted)
    sent = await discord.submit(form, name="rex", **{"class": "dog"})
    await discord.until(lambda: "4 photos used" in sent.message.text)
    assert (await hand.job(SPACE)).owner == discord.people["ada"].id
    bare = await discord.message_menu("Train on these photos", discord.post("bob", "no photos here"))
    assert bare.message.ephemeral and "no photos in that message" in bare.message.text
    many = await discord.message_menu("Train on these photos", discord.post("bob", "", *photos(1) * 31))
    assert many.message.ephemeral and "31 photos" in many.message.text


async def test_the_alt_text_of_photos_is_their_caption(discord: Discord, hand: Hand) -> None:
    said = [replace(photo, description=f"a dog\non sofa {k}") for k, photo in enumerate(photos(2))]
    await discord.slash("dreambooth train", name="rex", class_="dog", **options(said))
    job = await hand.job(SPACE)
    subject = await hand.app.subjects.get(job.subjects[0])
    assert [photo.caption for photo in subject.photos] == ["a dog on sofa 0", "a dog on sofa 1"]
    form = await discord.message_menu("Train on these photos", discord.post("ada", "", *photos(1), *said[1:]))
    await discord.submit(form, name="tom", **{"class": "dog"})
    job = await hand.job(SPACE, 2)
    subject = await hand.app.subjects.get(job.subjects[0])
    assert [photo.caption for photo in subject.photos] == ["", "a dog on sofa 1"]


async def test_photos_that_cannot_be_used_are_asked_about(discord: Discord, hand: Hand) -> None:
    bad = [*photos(2), File("notes.png", b"not a picture", "image/png")]
    asked = await discord.slash("dreambooth train", name="rex", class_="dog", **options(bad))
    question = asked.message
    await discord.until(lambda: question.labels == ["Train", "Add photos", "Cancel"])
    assert "2 of 3 photos can be used" in question.text and "notes.png" in question.text
    other = await discord.press(question, "Train", who="bob")
    await discord.until(lambda: discord.private("bob"))
    assert "Only the person who sent these photos" in discord.private("bob")[0].text
    assert other.answer == 6 and question.labels and not await hand.jobs(SPACE)
    form = await discord.press(question, "Add photos")
    await discord.submit(form, files=photos(2, first=5))
    job = await hand.job(SPACE)
    assert len((await hand.app.subjects.get(job.subjects[0])).photos) == 4
    await discord.until(lambda: "4 photos used" in question.text)
    assert discord.visible(discord.general) == [question], "one message tells it all"


async def test_the_question_about_photos_answered_with_train_and_with_cancel(discord: Discord, hand: Hand) -> None:
    bad = [*photos(2), File("notes.png", b"not a picture", "image/png")]
    questions = []
    for name in ("rex", "tom"):
        asked = await discord.slash("dreambooth train", name=name, class_="dog", **options(bad))
        await discord.until(lambda asked=asked: "Cancel" in asked.message.labels)
        questions.append(asked.message)
    await discord.press(questions[0], "Train")
    assert (await hand.job(SPACE)).said == "/dreambooth train rex dog"
    await discord.press(questions[1], "Cancel")
    await discord.until(lambda: "tom was not trained" in questions[1].text)
    assert not questions[1].labels and not await hand.app.store.names("drafts/")


async def test_list_show_share_retrain_cancel_forget(place: Place) -> None:
    discord, hand = place.discord, place.hand
    discord.people["bob"].roles = ["4711"]
    async with place.bot():
        await trained(discord, hand, options(photos()))
        assert await discord.complete("imagine", "subject", "RE") == ["rex"]
        listed = await discord.slash("dreambooth list", who="bob")
        await discord.until(lambda: "1 subject" in listed.message.text)
        assert listed.message.ephemeral and listed.message.labels == ["rex"] and listed.message.attachments
        private = await discord.slash("dreambooth share", name="rex", with_="private")
        await discord.until(lambda: "nobody else" in private.message.text)
        assert await discord.complete("imagine", "subject", "", who="bob") == []
        shared = await discord.slash("dreambooth share", name="rex", group="4711")
        await discord.until(lambda: "everybody in <@&4711>" in shared.message.text)
        shown = await discord.slash("dreambooth show", name="rex", who="bob")
        await discord.until(lambda: "write [rex]" in shown.message.text.replace("\\", ""))
        again = await discord.slash("dreambooth retrain", name="rex")
        job = await hand.job(SPACE, 2)
        assert isinstance(job, TrainJob)
        assert await discord.complete("dreambooth cancel", "job", "retrain") == [job.id]
        assert await discord.complete("dreambooth cancel", "job", "", who="bob") == []
        discord.people["bob"].permissions |= 1 << 13  # Manage Messages
        assert await discord.complete("dreambooth cancel", "job", "", who="bob") == [job.id]
        discord.people["bob"].permissions &= ~(1 << 13)
        cancelled = await discord.slash("dreambooth cancel", job=job.id)
        await discord.until(lambda: "Stopped" in cancelled.message.text and "Cancelled" in again.message.text)
        assert await discord.complete("dreambooth cancel", "job", "") == [], "what has ended cannot be cancelled"
        form = await discord.press(shown.message, "Share", who="bob")
        said = await discord.submit(form, **{"with": "space"})
        await discord.until(lambda: "Only the person who made this" in said.message.text)
        asked = await discord.press(shown.message, "Forget", who="bob")
        await discord.press(asked.message, "Yes", who="bob")
        await discord.until(lambda: "Only the person who made this" in asked.message.text)
        assert "no subject called max" in (await discord.slash("dreambooth forget", name="max")).message.text
        refused = await discord.slash("dreambooth forget", name="rex", who="bob")
        assert "Only the person who made this" in refused.message.text and not refused.message.labels
        asked = await discord.slash("dreambooth forget", name="rex")
        await discord.until(lambda: "Forget rex?" in asked.message.text)
        await discord.press(asked.message, "Yes")
        await discord.until(lambda: "Forgot rex" in asked.message.text)
        assert not await hand.app.subjects.in_space(SPACE)


async def test_of_many_subjects_the_newest_are_listed(discord: Discord, hand: Hand) -> None:
    await hand.keep(SPACE, discord.people["ada"].id, 30)
    listed = (await discord.slash("dreambooth list")).message
    await discord.until(lambda: "30 subjects" in listed.text)
    assert "… and 5 more" in listed.text and len(listed.attachments) == 10
    assert [option["label"] for option in listed.controls[0]["options"]] == [f"pet-{n}" for n in range(30, 5, -1)]
    shown = await discord.press(listed, "pet-6")
    await discord.until(lambda: "pet-6, a dog" in shown.message.text)
    assert len(await discord.complete("dreambooth show", "name", "pet")) == 25
    assert await discord.complete("dreambooth show", "name", "pet-5") == ["pet-5"]


@pytest.mark.slow
async def test_the_role_everyone_is_the_whole_space(discord: Discord, hand: Hand) -> None:
    await trained(discord, hand, options(photos()))
    for audience, seen in ({"with": "private"}, []), ({"group": GUILD}, ["rex"]):
        said = await discord.slash("dreambooth share", name="rex", **{f"{n}_": v for n, v in audience.items()})
        await discord.until(lambda said=said: said.message.text)
        assert await discord.complete("imagine", "subject", "", who="bob") == seen
    assert "everybody here" in said.message.text


@pytest.mark.slow
async def test_share_with_the_form(discord: Discord, hand: Hand) -> None:
    said = await trained(discord, hand, options(photos()))
    for given, words in (({"with": "private"}, "nobody else"), ({"group": "4711"}, "everybody in a role that is gone")):
        sent = await discord.submit(await discord.press(said, "Share"), **given)
        await discord.until(lambda sent=sent, words=words: words in sent.message.text)
        assert sent.message.ephemeral
