"""What people do on Discord, with the real client on a strict local Discord: commands, buttons, forms, menus."""

import asyncio

import pytest

from tests.servers.discord import Discord
from tests.support.discord_bot import SPACE, imagined, options, photos, trained
from tests.support.manual_worker import Hand, is_picture

pytestmark = pytest.mark.timeout(300)


async def test_imagine_from_command_to_pictures(discord: Discord, hand: Hand) -> None:
    asked = await discord.slash("imagine", prompt="a dog in Paris", count=2, seed=7)
    assert asked.answer == 5  # in time: the server refuses what comes after three seconds
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
    assert asked.message.text == "Nothing was changed." and first.attachments
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
