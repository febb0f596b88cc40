"""What Discord really does to a bot: dead tokens, rate limits, lost connections, deleted messages, closed channels."""

import asyncio
import re
from itertools import product
from typing import Any

import pytest

from bot.connectors.discord import errors as discord_errors
from bot.delivery import reliable_poster
from storage.errors import SetupError
from tests.servers.discord import Discord, Trouble, too_fast
from tests.servers.discord.people import COMMAND
from tests.servers.discord.world import ALL_PERMISSIONS, Interaction
from tests.support.discord_bot import (
    EDITS,
    SPACE,
    UPLOADS,
    Place,
    an_old_message,
    announcements,
    drawing,
    imagine_data,
    open_posts,
    training,
)
from tests.support.manual_worker import Hand
from tests.support.quick import pairs_slow_but

pytestmark = pytest.mark.timeout(300)

LOOK_TOO_FAST = too_fast(r"GET /channels/.*/messages$", 0.3)

LOOK_AWAY = Trouble(r"GET /channels/.*/messages$", 200, {}, {"Content-Type": "text/html"})

LOOK_FORBIDDEN = Trouble(r"GET /channels/.*/messages$", 403, {"code": 50013, "message": "Missing Permissions"})


def said_with(discord: Discord, method: str) -> list[str]:
    """The requests with the bot's own token that made or changed a message."""
    return [seen.name for seen in discord.seen if seen.name.startswith(f"{method} /channels/")]


def edits_by_bot(discord: Discord) -> int:
    """How often a message was edited with the bot's own token."""
    return len(said_with(discord, "PATCH"))


async def test_a_job_outlives_the_token_of_its_command(discord: Discord, hand: Hand) -> None:
    job, asked = await drawing(discord, hand)
    discord.expire_tokens()
    await hand.progress(job.id, "drawing", 15, 30)
    await discord.until(lambda: "50" in asked.message.text)
    await hand.draw(job)
    await discord.until(lambda: "Again" in asked.message.labels)
    assert asked.message.attachments and edits_by_bot(discord) >= 2
    assert discord.visible(discord.general) == [asked.message]


async def test_when_the_token_is_dead_words_in_private_are_direct_messages(discord: Discord, hand: Hand) -> None:
    discord.troubles.append(Trouble(r"POST /webhooks/", 401, {"code": 50027, "message": "Invalid Webhook Token"}))
    await discord.slash("imagine", prompt="a [nobody] in Paris")
    await discord.until(discord.private)
    assert discord.private()[0].channel is discord.dm(discord.people["ada"].id)


@pytest.mark.parametrize(("retry_after_s", "via"), [(0.3, True), (0.3, False), (None, True), (None, False)], ids=str)
@pytest.mark.parametrize("kind", ["edits", "uploads"])
async def test_rate_limits(
    discord: Discord, hand: Hand, monkeypatch: pytest.MonkeyPatch, kind: str, retry_after_s: float | None, via: bool
) -> None:
    monkeypatch.setattr(discord_errors, "RETRY_AFTER_S", 0.3)
    job, asked = await drawing(discord, hand)
    route = EDITS if kind == "edits" else UPLOADS
    if kind == "uploads":  # the edit that tells of progress has no file
        await hand.progress(job.id, "drawing", 15, 30)
        await discord.until(lambda: "50" in asked.message.text)
    discord.troubles.append(too_fast(route, retry_after_s, via, only_files=kind == "uploads"))
    refused_from = len(discord.seen)
    if kind == "edits":
        await hand.progress(job.id, "drawing", 15, 30)
    await hand.draw(job)
    await discord.until(lambda: "Again" in asked.message.labels and asked.message.attachments)
    times_s = [seen.at_s for seen in discord.seen[refused_from:] if re.search(route, seen.name)]
    assert not discord.troubles[0].times and times_s[1] - times_s[0] > 0.08, (
        "what was refused is not tried again at once"
    )


async def test_an_announcement_waits_through_a_rate_limit_and_is_made_once(discord: Discord, hand: Hand) -> None:
    job, _ = await training(discord, hand)
    discord.troubles.append(too_fast("POST /channels/.*/messages", 0.3, times=2))
    await hand.train(job)
    await discord.until(lambda: announcements(discord))
    await discord.until(lambda: not open_posts(hand.app))
    assert len(announcements(discord)) == 1


async def test_discord_answers_with_errors_and_pages_for_a_while(discord: Discord, hand: Hand) -> None:
    job, asked = await drawing(discord, hand)
    discord.troubles += [
        Trouble(EDITS, 502, {"message": "Bad Gateway"}),
        Trouble(EDITS, 200, {}, {"Content-Type": "text/html"}),
    ]
    await hand.draw(job)
    await discord.until(lambda: "Again" in asked.message.labels)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [LOOK_TOO_FAST, LOOK_AWAY, LOOK_FORBIDDEN], ids=["429", "page", "403"])
async def test_an_announcement_is_looked_for_until_it_is_known(place: Place, trouble: Trouble) -> None:
    discord, hand = place.discord, place.hand
    async with place.bot():
        job, _ = await training(discord, hand)
        discord.mute = "POST /channels/.*/messages"  # it is said, but the bot never hears so
        await hand.train(job)
        await discord.until(lambda: announcements(discord))
    discord.mute = ""
    discord.troubles.append(trouble)
    trouble.times = 1
    async with place.bot():
        await discord.until(lambda: not open_posts(hand.app))
    assert not trouble.times and not discord.private()
    # Who may not look announces, and that is one message as long as Discord remembers its nonce.
    assert len(announcements(discord)) == 1
    assert len(said_with(discord, "POST")) == (2 if trouble is LOOK_FORBIDDEN else 1)


@pytest.mark.parametrize(
    "trouble",
    [
        (403, {"code": 40333, "message": "internal network error"}, {}),
        (429, {"code": 30046, "message": "Maximum number of edits"}, {"Retry-After": "1"}),
        (403, "<html>Access denied</html>", {"Content-Type": "text/html"}),
    ],
    ids=["cloudflare", "old edits", "page"],
)
async def test_what_passes_is_waited_for(
    discord: Discord, hand: Hand, trouble: tuple[int, Any, dict[str, str]]
) -> None:
    job, asked = await drawing(discord, hand)
    discord.troubles.append(Trouble(EDITS, *trouble, times=2))
    await hand.draw(job)
    await discord.until(lambda: "Again" in asked.message.labels)
    assert not discord.private()


async def test_an_answer_that_is_not_known_is_tried_for_a_while(
    discord: Discord, hand: Hand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reliable_poster, "UNKNOWN_S", 0.5)
    job, _ = await drawing(discord, hand)
    discord.troubles.append(Trouble(EDITS, 403, {"code": 999999, "message": "Something new"}, times=999))
    await hand.draw(job)
    (told,) = await discord.until(discord.private)
    assert "a dog in Paris" in told.text and told.attachments
    await discord.until(lambda: not open_posts(hand.app))
    assert "Something new" in caplog.text and "ERROR" in caplog.text


async def test_a_thread_that_is_locked_meanwhile(discord: Discord, hand: Hand) -> None:
    job, _ = await training(discord, hand)
    discord.general.refuses = 160005
    await hand.train(job)
    (said,) = await discord.until(lambda: [m for m in discord.private() if "rex is ready" in m.text])
    assert "The thread where you asked is locked." in said.text
    await discord.until(lambda: not open_posts(hand.app))


async def test_a_token_that_is_reset_ends_the_bot_with_the_sentence_of_the_start(place: Place) -> None:
    discord, hand = place.discord, place.hand
    with pytest.raises(SetupError, match="Discord does not accept DISCORD_TOKEN"):
        async with place.bot() as bot:
            job, _ = await drawing(discord, hand)
            discord.expire_tokens()
            discord.token = "another"
            await hand.draw(job)
            await asyncio.wait_for(asyncio.wait([bot]), 120)
            assert not await hand.app.redis.exists("darkroom:leader:discord:100")
    assert len(open_posts(hand.app)) == 1, "what was accepted goes on when the token is good again"


async def test_the_connection_is_lost_and_resumed(discord: Discord, hand: Hand) -> None:
    for number in (1, 2):
        await discord.gateway.close()
        late = Interaction(discord.people["ada"], discord.general, COMMAND, (await imagine_data(discord)))
        await discord.interact(late)
        await hand.job(SPACE, number)
    assert discord.gateway.resumed == 2 and len(discord.gateway.sessions) == 1


async def test_the_session_is_lost_for_good(discord: Discord, hand: Hand) -> None:
    await discord.gateway.forget()
    await discord.until(lambda: discord.gateway.connected)
    await discord.slash("imagine", prompt="a dog in Paris")
    await hand.job(SPACE)


async def test_an_event_that_comes_twice_is_one_job(discord: Discord, hand: Hand) -> None:
    _, asked = await drawing(discord, hand)
    await discord.send(asked)
    other = await discord.slash("darkroom help")  # heard after it
    await discord.until(lambda: other.message.text)
    assert len(await hand.jobs(SPACE)) == 1 and discord.visible(discord.general) == [asked.message]


async def test_the_message_is_deleted(discord: Discord, hand: Hand) -> None:
    job, asked = await training(discord, hand)
    asked.message.deleted = True
    await hand.progress(job.id, "learning", 20, 400)
    (new,) = await discord.until(lambda: discord.visible(discord.general))
    await discord.until(lambda: "20 of 400" in new.text)
    await hand.progress(job.id, "learning", 40, 400)
    await discord.until(lambda: "40 of 400" in new.text)
    await hand.train(job)
    (said,) = await discord.until(lambda: announcements(discord))
    assert said.reference["message_id"] == new.id
    await discord.until(lambda: "is ready" in new.text)
    assert discord.visible(discord.general) == [new, said]


@pytest.mark.parametrize(
    ("token", "code"),  # the channel is deleted, hidden, or read only
    pairs_slow_but(product(("alive", "dead"), (10003, 50001, 50013)), ("alive", 10003), ("dead", 50013)),
)
async def test_the_channel_closes_and_who_asked_is_told_in_private(
    discord: Discord, hand: Hand, token: str, code: int
) -> None:
    job, _ = await training(discord, hand)
    discord.general.refuses = code
    if token == "dead":
        discord.expire_tokens()
    await hand.train(job)
    (said,) = await discord.until(lambda: [m for m in discord.private() if "rex is ready" in m.text])
    # A private message is no place of the server's, so there would be no rex to draw.
    assert bool(said.labels) == said.ephemeral and said.attachments and not announcements(discord)
    await discord.until(lambda: not open_posts(hand.app))
    assert discord.private() == [said]


async def test_nobody_can_be_told_any_more(discord: Discord, hand: Hand) -> None:
    job, _ = await training(discord, hand)
    discord.general.refuses, discord.dm(discord.people["ada"].id).refuses = 50001, 50007
    discord.expire_tokens()
    await hand.train(job)
    await discord.until(lambda: not open_posts(hand.app))
    assert not discord.private()


async def test_where_the_bot_may_not_write_it_says_what_to_allow(discord: Discord, hand: Hand) -> None:
    discord.general.allows = ALL_PERMISSIONS & ~(1 << 15 | 1 << 11)
    for asked in (
        await discord.slash("imagine", prompt="a dog"),
        await discord.slash("dreambooth train", name="rex", class_="dog"),
    ):
        assert asked.message.ephemeral and "Send Messages, Attach Files" in asked.message.text
    assert not await hand.jobs(SPACE)


async def test_buttons_of_another_time_say_what_to_do(discord: Discord) -> None:
    asked = await discord.press(an_old_message(discord, "gone?x=1"), "Go")
    assert asked.message.ephemeral and "use the command again" in asked.message.text
