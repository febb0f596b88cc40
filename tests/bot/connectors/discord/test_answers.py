"""Questions on Discord: sources first, then text, then the answer with links, in as many messages as it takes."""

from collections.abc import AsyncIterator

import pytest

from storage.contract.jobs import job_key
from storage.kinds.ask import AskJob
from storage.kinds.imagine import ImagineJob
from storage.lifecycle.job_index import JobIndex
from tests.servers.discord import Discord
from tests.servers.discord.world import Interaction
from tests.support.answers import answer, give, read_and_write
from tests.support.discord_bot import SPACE, Place, imagined, open_posts
from tests.support.manual_worker import Hand

LINK = "[[1]](<https://zorvia.test/tower?a=%281%29>)"


async def asked(discord: Discord, hand: Hand, **options: str) -> tuple[Interaction, AskJob]:
    before = len(await hand.jobs(SPACE))
    interaction = await discord.slash("ask", question="How tall is the tower?", **options)
    job = await hand.job(SPACE, before + 1)
    assert isinstance(job, AskJob)
    return interaction, job


async def answered(discord: Discord, hand: Hand, question: Interaction, job: AskJob) -> None:
    """Give the answer, and wait until it is shown and noted where it is: replies are follow-ups from then on."""
    await give(hand, job)
    await discord.until(lambda: "Follow up" in question.message.labels and not open_posts(hand.app))


async def test_sources_come_first_then_text_then_the_answer_with_links(discord: Discord, hand: Hand) -> None:
    question, job = await asked(discord, hand, domains="zorvia.test -spam.test", mode="web")
    assert (job.filters.allowed_domains, job.filters.denied_domains) == (("zorvia.test",), ("spam.test",))
    await read_and_write(hand, job.id)
    await discord.until(lambda: "The tower (zorvia.test)" in question.message.text)
    await read_and_write(hand, job.id, "The tower is")
    await discord.until(lambda: "The tower is" in question.message.text)
    await answered(discord, hand, question, job)
    text = question.message.content
    assert f"**312 metres** tall {LINK}" in text and f"{LINK} The tower (zorvia.test, 2026-05-02)" in text
    assert "<@7>" not in text and "@everyone" not in text and not question.message.pings
    assert "says 400 ⚠" in text and "Brave refused." in text and "out of date" in text
    expected = ["Follow up", "Sources", "Search again", "Related", "Shorter", "Draw this", "Delete"]
    assert [label for label in question.message.labels if label in expected] == expected


async def test_buttons_under_an_answer(discord: Discord, hand: Hand) -> None:
    question, job = await asked(discord, hand)
    await answered(discord, hand, question, job)
    shown = await discord.press(question.message, "Sources")
    await discord.until(lambda: "zorvia.test" in shown.message.text)
    assert shown.message.ephemeral
    offered = await discord.press(question.message, "Related")
    await discord.until(lambda: "Who built it?" in offered.message.labels)
    await discord.press(offered.message, "Who built it?")
    follow = await hand.job(SPACE, 2)
    assert isinstance(follow, AskJob) and (follow.question, follow.history) == ("Who built it?", (job.id,))
    form = await discord.press(question.message, "Follow up")
    await discord.submit(form, question="And how old?")
    second = await hand.job(SPACE, 3)
    assert isinstance(second, AskJob) and second.history == (job.id,)
    await discord.press(question.message, "Shorter")
    short = await hand.job(SPACE, 4)
    assert isinstance(short, AskJob) and short.is_short and short.question == job.question
    drawing = await discord.press(question.message, "Draw this")
    fields = {c["component"]["custom_id"]: c["component"].get("value") for c in drawing.response["components"]}
    assert fields["prompt"] == "The tower is 312 metres tall"


async def test_a_long_answer_is_said_in_several_messages_and_deleted_with_all(place: Place) -> None:
    async with place.bot():
        discord, hand = place.discord, place.hand
        question, job = await asked(discord, hand)
        sentences = " ".join(f"Sentence number {n} tells of the tower and of its stairs." for n in range(90))
        await give(hand, job, answer(f"{sentences} Its end [1]."))
        last = await discord.until(
            lambda: next((m for m in discord.visible(discord.general) if "Follow up" in m.labels), None)
        )
        parts = [m for m in discord.visible(discord.general) if "Sentence number" in m.content]
        assert len(parts) > 1 and parts[-1] is last and parts[0] is question.message
        assert all(len(m.content) <= 2000 for m in parts) and not parts[0].labels
        together = " ".join(m.content for m in parts)
        assert all(together.count(f"Sentence number {n} ") == 1 for n in range(90)) and LINK in together
        confirm = await discord.press(last, "Delete")
        await discord.press(confirm.message, "Yes")
        await discord.until(lambda: not any("Sentence number" in m.content for m in discord.visible(discord.general)))
        assert await place.app.store.names(f"jobs/{job.id}/") == []


async def test_a_bot_that_died_says_each_part_once(place: Place) -> None:
    long = answer(" ".join(f"Sentence number {n} tells of the tower and of its stairs." for n in range(90)))
    async with place.bot():
        _, job = await asked(place.discord, place.hand)
    await give(place.hand, job, long)
    async with place.bot():
        discord = place.discord
        await discord.until(lambda: any("Follow up" in m.labels for m in discord.visible(discord.general)))
        await discord.until(lambda: not place.open_posts())
        together = " ".join(m.content for m in discord.visible(discord.general))
        assert all(together.count(f"Sentence number {n} ") == 1 for n in range(90))


async def test_bad_input_is_said_to_who_asked(discord: Discord) -> None:
    refused = await discord.slash("ask", question="who?", after="2026-02-31")
    await discord.until(lambda: any("no such day" in m.text for m in discord.private()))
    assert refused.message is None or refused.message.deleted or "no such day" in refused.message.text


async def test_a_reply_to_an_answer_is_a_follow_up(discord: Discord, hand: Hand) -> None:
    question, job = await asked(discord, hand)
    await answered(discord, hand, question, job)
    said = await discord.reply(question.message, "<@100> And how old is it?")
    follow = await hand.job(SPACE, 2)
    assert isinstance(follow, AskJob) and (follow.question, follow.history) == ("And how old is it?", (job.id,))
    await give(hand, follow)
    shown = await discord.until(
        lambda: next(
            (m for m in discord.visible(discord.general) if "Delete" in m.labels and m is not question.message), None
        )
    )
    assert shown.reference and shown.reference["message_id"] == said.id
    await discord.until(lambda: not open_posts(hand.app))  # where the answer is is noted once it is shown
    deeper = await discord.reply(shown, "Who built it?", who="bob")
    third = await hand.job(SPACE, 3)
    assert isinstance(third, AskJob) and third.history == (job.id, follow.id) and deeper.author["username"] == "bob"


async def test_a_reply_to_an_old_answer_is_a_follow_up_and_not_to_a_deleted_one(discord: Discord, hand: Hand) -> None:
    question, job = await asked(discord, hand)
    await answered(discord, hand, question, job)
    for _ in range(60):
        newer = ImagineJob(space=SPACE, owner="9", prompt="a dog", model_prompt="a dog", seed=1)
        await JobIndex(hand.app.store).add(newer, is_open=False)
        await hand.app.store.put(job_key(newer.id), newer.model_dump_json().encode())
    await discord.reply(question.message, "And how old is it?")
    follow = await hand.job(SPACE, 62)
    assert isinstance(follow, AskJob) and follow.history == (job.id,)
    confirm = await discord.press(question.message, "Delete")
    await discord.press(confirm.message, "Yes")
    await discord.until(lambda: "Follow up" not in question.message.labels)
    assert not [name for name in await hand.app.store.names("posted-as/") if job.id in name]
    await discord.reply(question.message, "And how old?")
    await hand.job(SPACE, 61)


@pytest.fixture
async def rate_limited(place: Place) -> AsyncIterator[tuple[Place, Interaction]]:
    """A bot that takes three requests a minute of a person, with an answered question."""
    place.environment["DARKROOM_REQUESTS_PER_MINUTE"] = "3"
    async with place.bot():
        question, job = await asked(place.discord, place.hand)
        await answered(place.discord, place.hand, question, job)
        yield place, question


async def test_replies_that_are_looked_up_have_a_rate_limit(rate_limited: tuple[Place, Interaction]) -> None:
    discord, question = rate_limited[0].discord, rate_limited[1]
    for number in range(4):
        await discord.reply(question.message, f"And {number}?", who="bob")
    await discord.until(lambda: any("Rate limit" in m.text for m in discord.private("bob")))


async def test_replies_under_a_picture_have_no_rate_limit_that_is_told(rate_limited: tuple[Place, Interaction]) -> None:
    place, question = rate_limited
    discord, (job,) = place.discord, await place.hand.jobs(SPACE)
    picture = (await imagined(discord, place.hand)).message
    for number in range(5):
        await discord.reply(picture, f"Lovely, {number}!", who="bob")
    await discord.reply(question.message, "And how old?", who="bob")
    follow = await place.hand.job(SPACE, 3)
    assert isinstance(follow, AskJob) and follow.history == (job.id,)
    await discord.reply(picture, "Lovely as well!", who="bob")
    await discord.reply(question.message, "And how old?", who="ada")
    await place.hand.job(SPACE, 4)
    assert not discord.private("bob")


async def test_other_replies_and_messages_are_left_alone(discord: Discord, hand: Hand) -> None:
    question, job = await asked(discord, hand)
    await answered(discord, hand, question, job)
    before = len(discord.visible(discord.general))
    await discord.reply(question.message, "I think so, too.", ping=False)
    await discord.reply(discord.post("bob", "Lovely weather."), "Indeed!")
    await discord.reply(question.message, "And how old?")
    await hand.job(SPACE, 2)
    assert len(await hand.jobs(SPACE)) == 2 and len(discord.visible(discord.general)) <= before + 5
