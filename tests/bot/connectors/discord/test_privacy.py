"""Whose things are whose on Discord: private channels, moderators of one channel, what is forgotten, tokens."""

import asyncio
import json

import pytest
from arq.constants import in_progress_key_prefix

from bot.commands.departures import forget_left_spaces
from bot.connectors.discord.connector import DiscordBot
from bot.core.queue_view import LOOK_S
from storage.contract.posted_messages import Posted
from storage.contract.subjects import Subject
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.lifecycle import departures
from storage.queue.reference_photos import note_references
from tests.servers.discord import Discord
from tests.servers.discord.world import ADMINISTRATOR, GUILD, MANAGE_MESSAGES, Channel, Message, Person, snowflake
from tests.support.discord_bot import SPACE, Place, imagined, options, photos, trained
from tests.support.manual_worker import Hand

pytestmark = pytest.mark.timeout(300)

VIEW_CHANNEL = 1 << 10


async def jobs_line(discord: Discord, who: str, where: Channel | None = None) -> str:
    """What `/darkroom jobs` tells a person."""
    listed = (await discord.slash("darkroom jobs", who=who, where=where)).message
    await discord.until(lambda: listed.text)
    return listed.text


async def trained_privately(discord: Discord, hand: Hand) -> None:
    await discord.slash("dreambooth train", name="rex", class_="dog", with_="private", **options(photos()))
    job = await hand.job(SPACE)
    assert isinstance(job, TrainJob)
    await hand.train(job)
    await discord.until(lambda: [m for m in discord.visible(discord.general) if m.pings and "nobody else" in m.text])


async def test_what_is_made_in_a_private_channel_is_shared_with_it(place: Place) -> None:
    discord, hand = place.discord, place.hand
    club = discord.add_channel("club", denies=VIEW_CHANNEL)
    thread = discord.add_channel("talk", parent=club.id)
    async with place.bot():
        for where, count in ((club, 1), (thread, 2)):
            await discord.slash("imagine", prompt="a secret dog", where=where)
            job = await hand.job(SPACE, count)
            assert (job.shared, job.shared_with, job.said_in) == ("channel", club.id, club.id)
        told = await jobs_line(discord, "bob")
        assert "somebody's drawing" in told and "secret" not in told
        assert "a secret dog" in await jobs_line(discord, "bob", club)


async def test_the_status_shows_what_runs_to_whom_it_concerns(place: Place) -> None:
    discord, hand = place.discord, place.hand
    club = discord.add_channel("club", denies=VIEW_CHANNEL)
    async with place.bot():
        await discord.slash("imagine", prompt="a secret dog", where=club)
        waiting = await hand.job(SPACE)
        job = waiting.model_copy(update={"id": new_id(), "said": "/imagine a secret cat"})
        await hand.app.redis.set(in_progress_key_prefix + job.id, "a worker", px=600_000)
        await hand.app.dispatch.accept(job)
        await hand.progress(job.id, "drawing", 3, 30)
        await asyncio.sleep(2 * LOOK_S)  # one look serves half a second
        for who, where, says in (
            ("bob", None, "somebody's drawing — Drawing, 3 of 30"),
            ("bob", club, "/imagine a secret cat — Drawing, 3 of 30"),
            ("ada", None, "yours: /imagine a secret cat — Drawing, 3 of 30"),
        ):
            told = (await discord.slash("darkroom status", who=who, where=where)).message
            await discord.until(lambda told=told: told.text)
            assert told.ephemeral and says in told.text


async def test_the_channel_that_a_subject_is_shared_with_is_named(place: Place) -> None:
    discord, hand = place.discord, place.hand
    club = discord.add_channel("club", denies=VIEW_CHANNEL)
    async with place.bot():
        await discord.slash("dreambooth train", name="rex", class_="dog", where=club, **options(photos()))
        job = await hand.job(SPACE)
        assert isinstance(job, TrainJob)
        await hand.train(job)
        await discord.until(
            lambda: [m for m in discord.visible(club) if m.pings and f"everybody in <#{club.id}>." in m.text]
        )
        shown = (await discord.slash("dreambooth show", name="rex")).message
        await discord.until(lambda: f"everybody in <#{club.id}>; moderators can only forget it" in shown.text)


async def test_a_moderator_of_one_channel_is_none_elsewhere(discord: Discord, hand: Hand) -> None:
    await trained_privately(discord, hand)
    elsewhere = await discord.slash("imagine", prompt="a cat", where=discord.pictures)
    cat = await hand.job(SPACE, 2)
    assert isinstance(cat, ImagineJob)
    await hand.draw(cat)
    await discord.until(lambda: "Again" in elsewhere.message.labels)
    here = (await imagined(discord, hand)).message
    discord.people["bob"].permissions |= MANAGE_MESSAGES  # by an overwrite in #general
    refused = await discord.slash("dreambooth forget", name="rex", who="bob")
    assert "no subject called rex" in refused.message.text
    for message, says in ((here, "Deleted 4 pictures"), (elsewhere.message, "Only the person who made this")):
        discord.people["bob"].permissions = 2048 | (MANAGE_MESSAGES if message is here else 0)
        asked = await discord.press(message, "Delete", who="bob")
        await discord.press(asked.message, "Yes", who="bob")
        await discord.until(lambda says=says: any(says in text for text, _ in discord.said()))


@pytest.mark.slow
@pytest.mark.parametrize("right", [MANAGE_MESSAGES, ADMINISTRATOR])
async def test_a_moderator_by_role_removes_and_sees_no_more_than_others(place: Place, right: int) -> None:
    discord, hand = place.discord, place.hand
    discord.roles["4712"] = right
    discord.people["bob"].roles = ["4712"]
    discord.people["bob"].permissions |= right
    async with place.bot():
        await trained_privately(discord, hand)
        assert "somebody's training" in await jobs_line(discord, "bob")
        assert await discord.complete("imagine", "subject", "", who="bob") == []
        for command in ("dreambooth show", "dreambooth retrain"):
            said = (await discord.slash(command, name="rex", who="bob")).message
            await discord.until(
                lambda said=said: (
                    "no subject called rex" in said.text
                    or any("no subject called rex" in m.text for m in discord.private("bob"))
                )
            )
        asked = (await discord.slash("dreambooth forget", name="rex", who="bob")).message
        await discord.until(lambda: "Forget rex?" in asked.text)
        await discord.press(asked, "Yes", who="bob")
        await discord.until(lambda: "Forgot rex" in asked.text)


async def test_what_a_private_subject_is_drawn_from_is_told_to_who_asks_alone(place: Place) -> None:
    discord, hand = place.discord, place.hand
    club = discord.add_channel("club", denies=VIEW_CHANNEL)
    async with place.bot():
        await discord.slash("dreambooth train", name="rex", class_="dog", where=club, **options(photos()))
        job = await hand.job(SPACE)
        assert isinstance(job, TrainJob)
        subject = await hand.train(job)
        (end,) = await discord.until(lambda: [m for m in discord.visible(club) if m.pings])
        both = {"references": 3, "compared": await hand.picture(job.id, "compared")}
        await place.app.subjects.change(subject.id, lambda record: record.model_copy(update=both))
        told = (await discord.slash("dreambooth use", name="rex", source="photos")).message
        await discord.until(lambda: "rex is now drawn from its photos alone" in told.text)
        assert told.ephemeral and not told.attachments and "Draw as learned" in told.labels
        refused = (await discord.slash("dreambooth use", name="tom", source="photos")).message
        await discord.until(lambda: "no subject called tom" in refused.text)
        assert refused.ephemeral and not discord.visible(discord.general) and "rex is ready" in end.text


async def first_look(place: Place) -> tuple[Message, TrainJob, ImagineJob]:
    """A training that shows its first look, in its message."""
    await note_references(place.app.redis, 3)
    asked = (await place.discord.slash("dreambooth train", name="rex", class_="dog", **options(photos()))).message
    look = await place.hand.job(SPACE, 2)
    _, job = await place.hand.jobs(SPACE)
    assert isinstance(look, ImagineJob) and isinstance(job, TrainJob)
    await place.hand.progress(job.id, "learning", 10, 400)
    await place.hand.draw(look)
    await place.discord.until(lambda: asked.attachments and "10 of 400" in asked.text)
    return asked, job, look


async def test_a_training_that_is_cancelled_after_its_first_look_says_so(place: Place) -> None:
    discord = place.discord
    async with place.bot():
        asked, _, look = await first_look(place)
        await discord.press(asked, "Cancel")
        await discord.until(lambda: "Cancelled" in asked.text)
        assert not await place.app.store.names(f"jobs/{look.id}/")
        await forgotten(discord, place.hand, "tom")  # which takes back all that is to be taken back
        assert "Cancelled" in asked.text and not asked.attachments


async def forgotten(discord: Discord, hand: Hand, name: str) -> None:
    """Forget a subject that was just added."""
    owner = discord.people["ada"].id
    await hand.app.subjects.add(Subject(space=SPACE, owner=owner, name=name, noun="dog", base_model="m"))
    question = (await discord.slash("dreambooth forget", name=name)).message
    await discord.until(lambda: "Yes" in question.labels)
    await discord.press(question, "Yes")
    await discord.until(lambda: f"Forgot {name}" in question.text)


async def test_messages_about_a_failed_subject_are_taken_back_when_its_name_is_taken_again(place: Place) -> None:
    discord, hand = place.discord, place.hand
    async with place.bot():
        asked, job, look = await first_look(place)
        await hand.fail(job.id)
        await discord.until(lambda: [m for m in discord.visible(discord.general) if "out of memory" in m.text])
        await discord.until(lambda: not place.open_posts())
        new = (await discord.slash("dreambooth train", name="rex", class_="dog", **options(photos()))).message
        await discord.until(lambda: asked.text == "This was deleted.")
        await discord.until(lambda: not any("out of memory" in m.text for m in discord.visible(discord.general)))
        await discord.until(lambda: "Waiting" in new.text)
        assert not await place.app.store.names(f"jobs/{look.id}/") and len(await hand.jobs(SPACE)) == 2


async def test_what_is_forgotten_leaves_messages(discord: Discord, hand: Hand) -> None:
    end = await trained(discord, hand, options(photos()))
    drawn = (await imagined(discord, hand, "a [rex] dog in Paris", count=2)).message
    kept = (await imagined(discord, hand, "a cat in Rome")).message
    full = (await discord.press(drawn, "Full 1")).message
    await discord.until(lambda: full.attachments)
    asked = (await discord.slash("dreambooth forget", name="rex")).message
    await discord.press(asked, "Yes")
    await discord.until(lambda: "Forgot rex" in asked.text)
    assert "could not" not in asked.text and kept.attachments
    for message in (end, drawn, full):
        assert message.content == "This was deleted." and not message.attachments and not message.labels
    assert not any("rex" in m.text for m in discord.visible(discord.general))
    assert not await hand.app.store.names("retracting/")


async def test_a_subject_whose_record_is_damaged_is_forgotten_by_who_made_it(discord: Discord, hand: Hand) -> None:
    await trained(discord, hand, options(photos()))
    (record,) = [name for name in await hand.app.store.names("subjects/") if name.endswith("/subject.json")]
    await hand.app.store.put(record, b"!" + (await hand.app.store.get(record)).data[1:])
    refused = (await discord.slash("dreambooth forget", name="rex", who="bob")).message
    assert "Only the person who made this" in refused.text
    asked = (await discord.slash("dreambooth forget", name="rex")).message
    await discord.press(asked, "Yes")
    await discord.until(lambda: "Forgot rex" in asked.text)


async def test_a_damaged_note_of_an_earlier_message_holds_up_no_other_and_is_not_told_to_others(
    discord: Discord, hand: Hand
) -> None:
    end = await trained(discord, hand, options(photos()))
    damaged = Posted(platform="discord", channel="", message="x")
    await hand.app.store.put("retracting/discord/0", damaged.model_dump_json().encode())
    asked = (await discord.slash("dreambooth forget", name="rex")).message
    await discord.press(asked, "Yes")
    await discord.until(lambda: "Forgot rex" in asked.text)
    assert "could not be changed" not in asked.text, "it is not about rex"
    assert end.content == "This was deleted." and not await hand.app.store.names("retracting/")


async def test_what_cannot_be_changed_is_said(discord: Discord, hand: Hand) -> None:
    await trained(discord, hand, options(photos()))
    asked = (await discord.slash("dreambooth forget", name="rex")).message
    discord.general.refuses = 50001
    await discord.press(asked, "Yes")
    await discord.until(lambda: "messages of mine could not be changed" in asked.text)
    discord.general.refuses = 0


async def test_photos_are_shown_only_where_that_is_set(place: Place) -> None:
    place.environment["DARKROOM_PHOTOS_IN_PUBLIC"] = "true"
    async with place.bot():
        said = await trained(place.discord, place.hand, options(photos()))
        assert "the photos of a dog and what was learned" in said.attachments[0]["description"]
        form = await place.discord.slash("dreambooth train", name="tom")
        assert "shown in the channel" in str(form.response)
        await place.discord.submit(form, files=photos(2, first=7), **{"class": "dog"})


async def test_tokens_are_not_in_the_store(discord: Discord, hand: Hand) -> None:
    asked = await discord.slash("imagine", prompt="a dog")
    job = await hand.job(SPACE)
    kept = (await hand.app.store.get(f"posts/discord/{job.id}.json")).data
    assert asked.token.encode() not in kept
    key = f"darkroom:posts/discord/{job.id}:secrets"
    assert json.loads(await hand.app.redis.get(key)) == {"token": asked.token}
    assert 0 < await hand.app.redis.ttl(key) <= 15 * 60


async def test_tokens_of_before_leave_the_store_when_the_bot_starts(place: Place) -> None:
    async with place.bot():
        await place.discord.slash("imagine", prompt="a dog")
        job = await place.hand.job(SPACE)
    key = f"posts/discord/{job.id}.json"
    post = json.loads((await place.app.store.get(key)).data)
    post["extra"]["token"] = "old-token"
    await place.app.store.put(key, json.dumps(post).encode())
    async with place.bot():
        assert b"old-token" not in (await place.app.store.get(key)).data


@pytest.mark.slow
@pytest.mark.parametrize("who", ["author", "moderator"])
async def test_photos_of_others_are_used_when_their_author_agrees(discord: Discord, hand: Hand, who: str) -> None:
    discord.people["eve"] = Person(snowflake(), "eve", permissions=2048 | MANAGE_MESSAGES)
    ada, bob = discord.people["ada"].id, discord.people["bob"].id
    posted = discord.post("bob", "my dog", *photos(3))
    form = await discord.message_menu("Train on these photos", posted)
    question = (await discord.submit(form, name="rex", **{"class": "dog"})).message
    assert f"<@{ada}> would like to train rex, a dog" in question.text and question.pings == [bob]
    assert question.labels == ["Allow", "Refuse"] and not question.ephemeral
    refused = await discord.press(question, "Allow")
    assert refused.message.ephemeral and "Only the person who posted these photos" in refused.message.text
    assert not await hand.jobs(SPACE) and not any("/attachments/" in seen.path for seen in discord.seen)
    await discord.press(question, "Allow", who="bob" if who == "author" else "eve")
    job = await hand.job(SPACE)
    assert isinstance(job, TrainJob) and job.owner == ada
    await hand.train(job)
    await discord.until(lambda: [m for m in discord.visible(discord.general) if ada in m.pings])
    assert not await hand.app.store.names("consents/")


async def test_photos_of_others_are_left_alone_when_their_author_refuses(discord: Discord, hand: Hand) -> None:
    form = await discord.message_menu("Train on these photos", discord.post("bob", "my dog", *photos(3)))
    question = (await discord.submit(form, name="rex", **{"class": "dog"})).message
    await discord.press(question, "Refuse", who="bob")
    await discord.until(lambda: "he photos were not used" in question.text and not question.labels)
    assert not await hand.jobs(SPACE) and not await hand.app.store.names("consents/")


async def test_a_question_about_photos_lapses(discord: Discord, hand: Hand) -> None:
    form = await discord.message_menu("Train on these photos", discord.post("bob", "my dog", *photos(3)))
    question = (await discord.submit(form, name="rex", **{"class": "dog"})).message
    (key,) = await hand.app.store.names("consents/")
    await hand.app.store.delete(key)  # as the sweep does after a day
    late = await discord.press(question, "Allow", who="bob")
    assert "more than a day old" in late.message.text


@pytest.mark.parametrize("command", ["darkroom forget-me", "dreambooth forget"])
async def test_everything_of_a_person_is_forgotten(discord: Discord, hand: Hand, command: str) -> None:
    await trained(discord, hand, options(photos()))
    cat = (await imagined(discord, hand, "a cat in Rome")).message
    await discord.slash("imagine", prompt="a bird", who="bob")
    await hand.job(SPACE, 3)
    asked = (await discord.slash(command, **({"name": "me"} if "dreambooth" in command else {}))).message
    await discord.until(lambda: "Forget everything of yours?" in asked.text)
    await discord.press(asked, "Yes")
    await discord.until(lambda: "Forgot everything of yours: 1 subject" in asked.text)
    assert [job.owner for job in await hand.jobs(SPACE)] == [discord.people["bob"].id]
    assert not await hand.app.subjects.in_space(SPACE) and not cat.attachments


async def test_a_server_that_the_bot_left_is_forgotten_after_the_grace(discord: Discord, hand: Hand) -> None:
    await hand.keep(SPACE, discord.people["ada"].id, 1)
    store = hand.app.store
    await discord.gateway.dispatch("GUILD_DELETE", {"id": GUILD}, GUILD)
    await discord.until(lambda: any("deleted in 30 days" in m.text for m in discord.private()))
    await forget_left_spaces(store, 3600.0)
    assert await hand.app.subjects.in_space(SPACE), "the grace is not over"
    await forget_left_spaces(store, 0.0)
    assert not await hand.app.subjects.in_space(SPACE) and not await store.names("departures/")


async def test_a_server_that_the_bot_is_in_again_keeps_all(place: Place) -> None:
    await departures.note(place.app.store, SPACE)
    async with place.bot():
        async with asyncio.timeout(120):
            while await place.app.store.names("departures/"):  # noqa: ASYNC110 (a store tells nobody)
                await asyncio.sleep(0.05)


async def test_who_left_the_server_is_forgotten_after_the_grace(place: Place) -> None:
    discord, hand = place.discord, place.hand
    ada, bob = discord.people["ada"].id, discord.people["bob"].id
    await hand.keep(SPACE, ada, 1)
    discord.people["bob"].left = True
    tom = Subject(space=SPACE, owner=bob, name="tom", noun="dog", base_model="-", state="ready")
    await hand.app.subjects.add(tom)
    bot = DiscordBot(place.app, lambda _: None)
    async with place.bot(), bot:
        await bot.login(discord.token)
        serving = asyncio.create_task(bot.connect())
        await bot.wait_until_ready()
        await bot.departures.look()
        assert len(await hand.app.subjects.in_space(SPACE)) == 2, "the grace is not over"
        assert any("You have left the server" in m.text for m in discord.private("bob"))
        place.app.settings = place.app.settings.model_copy(update={"forget_after_days": 0})
        await bot.departures.look()
        assert [subject.owner for subject in await hand.app.subjects.in_space(SPACE)] == [ada]
        serving.cancel()
