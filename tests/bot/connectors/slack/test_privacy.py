"""Whose things are whose on Slack: direct messages, private channels, outsiders, admins, photos of others."""

import asyncio
import json

import pytest
from arq.constants import in_progress_key_prefix

from bot.core.queue_view import LOOK_S
from storage.contract.subjects import Subject
from storage.ids import new_id
from storage.kinds.train import TrainJob
from tests.conftest import photos_of_a_character
from tests.servers.slack.people import ADA, BOB, images, labels, words
from tests.support.slack_bot import SPACE, Scene, drawn_in

pytestmark = pytest.mark.timeout(300)


async def jobs_line(scene: Scene, user: str) -> str:
    """What `/darkroom jobs` tells a person in #general."""
    await scene.slack.slash("/darkroom", "jobs", user=user)
    return words(await scene.slack.message(lambda m: "newest first" in m.text or "No jobs" in m.text, user=user))


async def test_the_status_shows_what_runs_to_whom_it_concerns(scene: Scene) -> None:
    club = scene.slack.workspace.add_channel("club", private=True)
    async with scene.bot():
        job = await drawn_in(scene, club, SPACE, "a secret dog")
        waiting = job.model_copy(update={"id": new_id(), "said": "/imagine another secret", "prompt": "another secret"})
        await scene.app.redis.set(in_progress_key_prefix + waiting.id, "a worker", px=600_000)
        await scene.app.dispatch.accept(waiting)
        await scene.hand.progress(waiting.id, "drawing", 3, 30)
        async with asyncio.timeout(60):
            while (await scene.app.dispatch.queues.view("imagine")).running != (waiting.id,):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await asyncio.sleep(2 * LOOK_S)  # the bot's own look is not older
        await scene.slack.slash("/darkroom", "status", user=BOB)
        told = words(await scene.slack.message("1 job running", user=BOB))
        assert "somebody's drawing — Drawing, 3 of 30" in told and "secret" not in told
        await scene.slack.slash("/darkroom", "status", user=ADA)
        assert "yours: /imagine another secret" in words(await scene.slack.message("1 job running", user=ADA))


async def test_a_direct_message_is_a_space_of_its_own(scene: Scene) -> None:
    direct = scene.slack.workspace.conversation_with(ADA)
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos_of_a_character()), channel=direct)
        job = await scene.hand.job(f"{SPACE}:{direct.id}")
        assert isinstance(job, TrainJob)
        await scene.hand.train(job)
        await scene.slack.message("rex can be drawn by you and everybody here", channel=direct)
        assert "No jobs" in await jobs_line(scene, BOB)
        await scene.slack.slash("/dreambooth", "list", user=BOB)
        await scene.slack.message("No subjects yet", user=BOB)


async def test_a_group_message_is_a_space_of_its_own(scene: Scene) -> None:
    group = scene.slack.workspace.add_channel("mpdm-ada--bob-1", private=True, group=True)
    async with scene.bot():
        await drawn_in(scene, group, f"{SPACE}:{group.id}")
        await scene.slack.mention("imagine another secret", channel=group)
        await scene.hand.job(f"{SPACE}:{group.id}", 2)
        assert "No jobs" in await jobs_line(scene, BOB)


@pytest.mark.parametrize("name", ["directmessage", "privategroup", "mpdm-dogs"])
async def test_the_name_of_a_channel_does_not_make_it_private(scene: Scene, name: str) -> None:
    channel = scene.slack.workspace.add_channel(name)
    async with scene.bot():
        await drawn_in(scene, channel, SPACE, "a dog for all")
        assert "a dog for all" in await jobs_line(scene, BOB)


async def test_what_was_learned_in_a_direct_message_before_stays_its_owners(scene: Scene) -> None:
    direct = scene.slack.workspace.conversation_with(ADA)
    old = Subject(space=SPACE, owner=ADA, name="rex", noun="dog", identifier="sks", base_model="-", state="ready")
    theirs = old.model_copy(update={"id": "0" * 20, "owner": BOB, "name": "tom"})
    for subject in (old, theirs):
        await scene.app.subjects.add(subject)
    async with scene.bot():
        job = await drawn_in(scene, direct, f"{SPACE}:{direct.id}", "a [rex] dog in Paris")
        assert job.subjects[0] == old.id
        await scene.slack.slash("/dreambooth", "list", channel=direct)
        listed = await scene.slack.message("1 subject", user=ADA, channel=direct)
        assert labels(listed) == ["rex"]


@pytest.mark.parametrize("by", ["command", "mention"])
async def test_what_is_made_in_a_private_channel_is_shared_with_it(scene: Scene, by: str) -> None:
    club = scene.slack.workspace.add_channel("club", private=True)
    async with scene.bot():
        if by == "command":
            await drawn_in(scene, club, SPACE)
        else:
            await scene.slack.mention("imagine a secret dog", channel=club)
        job = await scene.job()
        assert (job.shared, job.shared_with) == ("channel", club.id)
        told = await jobs_line(scene, BOB)
        assert "somebody's drawing" in told and "secret" not in told
        await scene.slack.slash("/darkroom", "jobs", user=BOB, channel=club)
        assert "a secret dog" in words(await scene.slack.message("newest first", user=BOB, channel=club))


@pytest.mark.slow
async def test_train_says_with_whom(scene: Scene) -> None:
    club = scene.slack.workspace.add_channel("club", private=True)
    async with scene.bot():
        photos = scene.slack.photos(photos_of_a_character())
        await scene.slack.mention("train rex dog --with private", files=photos)
        job = await scene.job()
        assert isinstance(job, TrainJob)
        await scene.hand.train(job)
        await scene.slack.message("rex can be drawn by you and nobody else.")
        await scene.slack.mention("train tom dog", files=scene.slack.photos(photos_of_a_character()), channel=club)
        job = await scene.job(2)
        assert isinstance(job, TrainJob)
        await scene.hand.train(job)
        await scene.slack.message(f"tom can be drawn by you and everybody in <#{club.id}>.", channel=club)


@pytest.mark.slow
async def test_a_share_with_a_group_that_is_gone(scene: Scene) -> None:
    scene.slack.workspace.groups |= {"S0PETS": [BOB], "S0TEAM": []}
    async with scene.bot():
        await scene.trained()
        await scene.slack.slash("/dreambooth", "share rex @s0pets")
        await scene.slack.message("everybody in @s0pets", user=ADA)
    del scene.slack.workspace.groups["S0PETS"]
    async with scene.bot():
        await scene.slack.slash("/dreambooth", "show rex")
        await scene.slack.message("everybody in a user group that is gone; moderators can only forget it", user=ADA)


async def test_a_share_with_a_channel_that_is_gone(scene: Scene) -> None:
    club = scene.slack.workspace.add_channel("club")
    async with scene.bot():
        await scene.trained()
        await scene.slack.slash("/dreambooth", "share rex channel", channel=club)
        await scene.slack.message(f"everybody in <#{club.id}>", user=ADA, channel=club)
    del scene.slack.workspace.channels[club.id]
    async with scene.bot():
        await scene.slack.slash("/dreambooth", "show rex")
        await scene.slack.message("everybody in a channel that is gone or hidden from me", user=ADA)


OUTSIDERS = [{"team_id": "T0OTHER"}, {"is_stranger": True}, {"is_restricted": True}, {"is_ultra_restricted": True}]


@pytest.mark.parametrize("about", OUTSIDERS, ids=str)
async def test_outsiders_and_guests_are_refused(scene: Scene, about: dict[str, object]) -> None:
    scene.slack.workspace.add_user("U0OUT", admin=True, **about)
    async with scene.bot():
        message = await scene.imagined()
        await scene.slack.slash("/imagine", "a dog", user="U0OUT")
        await scene.slack.press(message, "Again", user="U0OUT")
        await scene.slack.press(message, "Edit prompt", user="U0OUT")
        await scene.slack.mention("imagine a dog", user="U0OUT")
        refused = "I work for full members of this workspace only"
        await scene.slack.message(lambda _: len(scene.slack.seen(user="U0OUT")) == 4)
        assert all(refused in m.text for m in scene.slack.seen(user="U0OUT"))
        assert len(await scene.hand.jobs(SPACE)) == 1


async def test_outsiders_may_be_let_in_and_are_no_admins(scene: Scene) -> None:
    scene.environment["DARKROOM_SLACK_OUTSIDERS"] = "true"
    scene.slack.workspace.add_user("U0OUT", admin=True, team_id="T0OTHER")
    async with scene.bot():
        message = await scene.imagined()
        await scene.slack.press(message, "Delete", user="U0OUT")
        await scene.slack.message("Only the person who made this, or a moderator", user="U0OUT")
        await scene.slack.slash("/imagine", "a cat", user="U0OUT")
        assert (await scene.job(2)).owner == "U0OUT"


async def test_colleagues_of_one_organisation_are_no_outsiders(scene: Scene) -> None:
    scene.slack.workspace.enterprise = "E0ORG"
    scene.slack.workspace.add_user("U0COL", team_id="T0OTHER", enterprise_user={"enterprise_id": "E0ORG"})
    async with scene.bot():
        await scene.slack.slash("/imagine", "a cat", user="U0COL")
        assert (await scene.job()).owner == "U0COL"


@pytest.mark.slow
async def test_admins_remove_and_see_no_more_than_others(scene: Scene) -> None:
    scene.slack.workspace.add_user("U0EVE", admin=True)
    async with scene.bot():
        await scene.trained()
        await scene.slack.slash("/dreambooth", "share rex private")
        await scene.slack.message("nobody else", user=ADA)
        await scene.slack.slash("/dreambooth", "show rex", user="U0EVE")
        await scene.slack.message("There is no subject called rex", user="U0EVE")
        await scene.slack.slash("/dreambooth", "forget rex", user="U0EVE")
        asked = await scene.slack.message("Forget rex?", user="U0EVE")
        await scene.slack.press(asked, "Forget", user="U0EVE")
        await scene.slack.message("Forgot rex", user="U0EVE")


async def test_photos_are_not_shown_in_channels(scene: Scene) -> None:
    async with scene.bot():
        end = await scene.trained()
        (sheet,) = images(end)
        assert "what was learned from the photos" in sheet["alt_text"]


async def test_photos_are_shown_in_channels_where_that_is_set_and_told(scene: Scene) -> None:
    scene.environment["DARKROOM_PHOTOS_IN_PUBLIC"] = "true"
    async with scene.bot():
        end = await scene.trained()
        (sheet,) = images(end)
        assert "the photos of a dog and what was learned" in sheet["alt_text"]
        await scene.slack.slash("/dreambooth", "train")
        assert "shown in the channel" in str((await scene.slack.view()).body)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["author", "admin"])
async def test_photos_of_others_are_used_when_their_author_agrees(scene: Scene, who: str) -> None:
    agrees = ADA if who == "author" else scene.slack.workspace.add_user("U0EVE", admin=True)
    async with scene.bot():
        message = await scene.slack.say("my dog", scene.slack.photos(photos_of_a_character(3)))
        await scene.slack.shortcut(message, user=BOB)
        await scene.slack.submit(await scene.slack.view(BOB), name="rex", **{"class": "dog"})
        question = await scene.slack.message(f"<@{BOB}> would like to train rex, a dog")
        assert f"<@{ADA}>" in words(question) and labels(question) == ["Allow", "Refuse"]
        await scene.slack.press(question, "Allow", user=BOB)
        await scene.slack.message("Only the person who posted these photos", user=BOB)
        assert not await scene.hand.jobs(SPACE)
        await scene.slack.press(question, "Allow", user=agrees)
        job = await scene.job()
        assert isinstance(job, TrainJob) and job.owner == BOB
        await scene.hand.train(job)
        await scene.slack.message(lambda m: "rex is ready" in m.text and f"<@{BOB}>" in m.text)
        assert not await scene.app.store.names("consents/")


async def test_photos_of_others_are_left_alone_when_their_author_refuses(scene: Scene) -> None:
    async with scene.bot():
        message = await scene.slack.say("my dog", scene.slack.photos(photos_of_a_character(3)))
        await scene.slack.shortcut(message, user=BOB)
        await scene.slack.submit(await scene.slack.view(BOB), name="rex", **{"class": "dog"})
        question = await scene.slack.message("would like to train rex")
        await scene.slack.press(question, "Refuse")
        await scene.slack.message(lambda m: m is question and "he photos were not used" in m.text)
        assert not await scene.hand.jobs(SPACE) and not await scene.app.store.names("consents/")


async def test_what_a_private_subject_is_drawn_from_is_told_to_who_asks_alone(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.mention("train rex dog --with private", files=scene.slack.photos(photos_of_a_character()))
        job = await scene.job()
        assert isinstance(job, TrainJob)
        subject = await scene.hand.train(job)
        await scene.slack.message("rex can be drawn by you and nobody else.")
        both = {"references": 3, "compared": await scene.hand.picture(job.id, "compared")}
        await scene.app.subjects.change(subject.id, lambda record: record.model_copy(update=both))
        before = len(scene.slack.seen())
        await scene.slack.slash("/dreambooth", "show rex")
        shown = await scene.slack.message(lambda m: "Draw from photos" in labels(m), user=ADA)
        await scene.slack.press(shown, "Draw from photos")
        told = await scene.slack.message("rex is now drawn from its photos alone", user=ADA)
        assert not images(told) and "Draw as learned" in labels(told)
        await scene.slack.slash("/dreambooth", "use rex training")
        await scene.slack.message("rex is now drawn as it was learned", user=ADA)
        assert len(scene.slack.seen()) == before


async def test_response_urls_are_not_in_the_store(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog")
        job = await scene.job()
        kept = (await scene.app.store.get(f"posts/slack/{job.id}.json")).data
        assert b"hooks/" not in kept
        key = f"darkroom:posts/slack/{job.id}:secrets"
        assert "hooks/" in json.loads(await scene.app.redis.get(key))["response_url"]
        assert 0 < await scene.app.redis.ttl(key) <= 30 * 60
