"""What people do on Discord, with the real client on a strict local Discord: commands, buttons, forms, menus."""

import asyncio
from dataclasses import replace

import pytest

from storage.kinds.train import TrainJob
from tests.servers.discord import Discord, File
from tests.servers.discord.world import GUILD
from tests.support.discord_bot import SPACE, Place, imagined, options, photos, trained
from tests.support.manual_worker import Hand, is_picture

pytestmark = pytest.mark.timeout(300)


async def test_imagine_from_command_to_pictures(discord: Discord, hand: Hand) -> None:
    asked = await discord.slash("imagine", prompt="a dog in Paris", count=2, seed=7)
    assert asked.answer == 5 and asked.took_s < 3
    message = asked.message
    await discord.until(lambda: "no worker" in message.text)
    job = await hand.job(SPACE)
    assert (job.prompt, job.count, job.seed, job.owner) == ("a dog in Paris", 2, 7, discord.people["ada"].id)
    await hand.progress(job.id, "drawing", 15, 30)
    await discord.until(lambda: "50" in message.text and "▰▰▰▰▰▰▱▱▱▱▱▱" in message.text)
    assert message.labels == ["Cancel"]
    await hand.draw(job)
    await discord.until(lambda: "Again" in message.labels)
    assert message.labels == [
        *("Again", "Edit prompt", "Delete", "Details"),
        *("V1", "V2", "Full 1", "Full 2", "Delete 1", "Delete 2"),
    ]
    (grid,) = message.attachments
    assert grid["description"] and is_picture(discord.cdn.files[grid["id"]].data)
    assert not message.pings and not message.ephemeral


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


async def test_the_buttons_under_pictures(discord: Discord, hand: Hand) -> None:
    pictures = (await imagined(discord, hand, count=2, seed=5)).message
    again = await discord.press(pictures, "Again", who="bob")
    job = await hand.job(SPACE, 2)
    assert (job.prompt, job.owner) == ("a dog in Paris", discord.people["bob"].id)
    assert again.message is not pictures and not again.message.ephemeral
    await discord.press(pictures, "V2")
    assert (await hand.job(SPACE, 3)).vary_seed == 6
    full = await discord.press(pictures, "Full 2", who="bob")
    await discord.until(lambda: "(seed 6)" in full.message.text and len(full.message.attachments) == 1)
    details = await discord.press(pictures, "Details", who="bob")
    await discord.until(lambda: "seeds: 5, 6" in details.message.text)
    assert details.message.ephemeral
    form = await discord.press(pictures, "Edit prompt")
    assert form.response["components"][0]["component"]["value"] == "a dog in Paris"
    await discord.submit(form, prompt="a cat in Rome")
    edited = await hand.job(SPACE, 4)
    assert (edited.prompt, edited.seed, edited.count) == ("a cat in Rome", 5, 2)


async def test_many_pictures_have_menus(discord: Discord, hand: Hand) -> None:
    pictures = (await imagined(discord, hand, count=16, seed=100)).message
    assert [control["placeholder"] for control in pictures.controls if control["type"] == 3] == [
        "Variations",
        "Full size",
        "Delete one",
    ]
    full = await discord.press(pictures, "Full 16")
    await discord.until(lambda: "(seed 115)" in full.message.text)


async def test_one_picture_of_several_can_be_deleted_by_who_asked(discord: Discord, hand: Hand) -> None:
    message = (await imagined(discord, hand, count=2)).message
    asked = await discord.press(message, "Delete 1", who="bob")
    assert "Delete this picture for good?" in asked.message.text
    await discord.press(asked.message, "Yes", who="bob")
    await discord.until(lambda: any("Only the person who" in m.text for m in discord.private("bob")))
    asked = await discord.press(message, "Delete 1")
    await discord.press(asked.message, "Yes")
    await discord.until(lambda: "1 picture left" in message.text and "Delete 1" not in message.labels)
    assert message.attachments and "Full 1" in message.labels


async def test_deletion_is_for_who_asked_and_for_moderators_after_a_question(discord: Discord, hand: Hand) -> None:
    first, second = (await imagined(discord, hand)).message, (await imagined(discord, hand, "a cat")).message
    asked = await discord.press(first, "Delete", who="bob")
    assert asked.message.ephemeral and "for good?" in asked.message.text and asked.message.labels == ["Yes", "No"]
    await discord.press(asked.message, "No", who="bob")
    assert asked.message.text == "Left as it is." and first.attachments
    asked = await discord.press(first, "Delete", who="bob")
    await discord.press(asked.message, "Yes", who="bob")
    await discord.until(lambda: any("Only the person who" in m.text for m in discord.private("bob")))
    assert first.attachments and first.labels
    asked = await discord.press(first, "Delete")
    await discord.press(asked.message, "Yes")
    await discord.until(lambda: "Deleted 4 pictures" in first.text and not first.attachments and not first.labels)
    discord.people["bob"].permissions |= 1 << 13  # Manage Messages
    asked = await discord.press(second, "Delete", who="bob")
    await discord.press(asked.message, "Yes", who="bob")
    await discord.until(lambda: "Deleted 4 pictures" in second.text)


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


async def test_the_role_everyone_is_the_whole_space(discord: Discord, hand: Hand) -> None:
    await trained(discord, hand, options(photos()))
    for audience, seen in ({"with": "private"}, []), ({"group": GUILD}, ["rex"]):
        said = await discord.slash("dreambooth share", name="rex", **{f"{n}_": v for n, v in audience.items()})
        await discord.until(lambda said=said: said.message.text)
        assert await discord.complete("imagine", "subject", "", who="bob") == seen
    assert "everybody here" in said.message.text


async def test_share_with_the_form(discord: Discord, hand: Hand) -> None:
    said = await trained(discord, hand, options(photos()))
    for given, words in (({"with": "private"}, "nobody else"), ({"group": "4711"}, "everybody in a role that is gone")):
        sent = await discord.submit(await discord.press(said, "Share"), **given)
        await discord.until(lambda sent=sent, words=words: words in sent.message.text)
        assert sent.message.ephemeral


async def test_a_thread_is_a_part_of_its_channel(discord: Discord, hand: Hand) -> None:
    thread = discord.add_channel("walks", parent=discord.general.id, denies=1 << 11)
    thread.allows &= ~(1 << 11)  # Send Messages, which is for channels: in threads another permission counts
    await discord.slash("dreambooth train", name="rex", class_="dog", where=thread, **options(photos()))
    job = await hand.job(SPACE)
    await hand.train(job)
    (said,) = await discord.until(lambda: [m for m in discord.visible(thread) if m.pings])
    shared = await discord.submit(await discord.press(said, "Share"), **{"with": "channel"})
    await discord.until(lambda: f"everybody in <#{discord.general.id}>" in shared.message.text)
    for where, seen in ((discord.general, True), (thread, True), (discord.pictures, False)):
        listed = await discord.slash("dreambooth list", who="bob", where=where)
        await discord.until(lambda listed=listed: listed.message.text)
        assert ("rex" in listed.message.labels) == seen
    drawn = await discord.slash("imagine", prompt="a [rex] dog", where=thread, who="bob")
    await hand.draw(await hand.job(SPACE, 2))
    await discord.until(lambda: "Again" in drawn.message.labels)
    assert drawn.message in discord.visible(thread)


async def test_the_imagine_button_of_an_announcement_opens_the_form(discord: Discord, hand: Hand) -> None:
    said = await trained(discord, hand, options(photos()))
    form = await discord.press(said, "Imagine", who="bob")
    assert form.response["components"][0]["component"]["value"] == "a [rex] dog in Paris"
    await discord.submit(form, seed="7")
    job = await hand.job(SPACE, 2)
    assert (job.prompt, job.seed, job.owner) == ("a [rex] dog in Paris", 7, discord.people["bob"].id)


async def test_two_people_at_once(discord: Discord, hand: Hand) -> None:
    pictures = (await imagined(discord, hand)).message
    both = await asyncio.gather(*(discord.press(pictures, "Again", who=who) for who in ("ada", "bob")))
    assert both[0].message is not both[1].message
    await hand.job(SPACE, 3)
    await asyncio.gather(
        *(
            discord.slash("dreambooth train", name="rex", class_="dog", who=who, **options(photos(3, first=k)))
            for k, who in ((0, "ada"), (5, "bob"))
        )
    )
    job = await hand.job(SPACE, 4)
    (loser,) = {person.id for person in discord.people.values()} - {job.owner}
    who = "ada" if discord.people["ada"].id == loser else "bob"
    await discord.until(lambda: any("already a subject called rex" in m.text for m in discord.private(who)))


async def test_what_is_wrong_is_told_to_its_author_alone(discord: Discord, hand: Hand) -> None:
    asked = await discord.slash("imagine", prompt="a [nobody] in Paris")
    await discord.until(discord.private)
    assert "no subject called nobody" in discord.private()[0].text
    assert asked.message.deleted and not discord.visible(discord.general)
    late = await discord.slash("dreambooth cancel", job="0123456789abcdef0123")
    await discord.until(lambda: late.message.text)
    assert late.message.ephemeral


async def test_help_says_what_can_be_asked_here(discord: Discord) -> None:
    asked = await discord.slash("darkroom help")
    await discord.until(lambda: "/dreambooth train" in asked.message.text)
    assert asked.message.ephemeral and "Train on these photos" in asked.message.text


async def test_spaces_do_not_see_each_other(discord: Discord, hand: Hand) -> None:
    await trained(discord, hand, options(photos()))
    private = discord.dm(discord.people["ada"].id)
    listed = await discord.slash("dreambooth list", where=private)
    await discord.until(lambda: "No subjects yet" in listed.message.text)
    drawn = await discord.slash("imagine", prompt="a dog", where=private)
    await discord.until(lambda: "no worker" in drawn.message.text)
