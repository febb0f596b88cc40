"""Text on Discord: any prompt and name is shown as it was written, and rings nobody."""

import re

import pytest

from bot.connectors.discord.render import plain
from storage.kinds.imagine import ImagineJob
from tests.servers.discord import Discord
from tests.servers.discord.people import COMMAND
from tests.servers.discord.world import Interaction
from tests.support.discord_bot import SPACE, imagine_data, options, photos, trained
from tests.support.manual_worker import Hand

pytestmark = pytest.mark.timeout(300)

PROMPTS = {
    "everybody": "@everyone @here <@&4711> <@!1> <#2> a dog",
    "links": "(https://a.example) https://b.example <https://c.example>",
    "markup": "*a* _b_ ~~c~~ ||d|| `e` ```f``` > g # h - i",
    "right to left": "שלום עליכם \u202eكلب في باريس\u202c",
    "emoji": "👩‍👩‍👧 狗🐕 e\u0301 Ωμέγα",
    "all of it": "*@<狗" * 250,
}


@pytest.mark.parametrize("kind", PROMPTS)
async def test_any_prompt_is_shown_as_it_is_and_rings_nobody(discord: Discord, hand: Hand, kind: str) -> None:
    prompt = PROMPTS[kind]
    asked = await discord.slash("imagine", prompt=prompt)
    job = await hand.job(SPACE)
    clean = prompt.replace("\u202e", "").replace("\u202c", "").replace("e\u0301", "é")  # nothing turns text around
    assert isinstance(job, ImagineJob) and job.prompt == " ".join(clean.split())
    await hand.draw(job)
    await discord.until(lambda: "Again" in asked.message.labels)
    text = asked.message.text
    assert not re.search(r"@everyone|@here|<[@#]|(?<!\\)[*_`~|]|https?://", text)
    shown = text.replace("\\", "").replace("\u200b", "")
    assert shown.startswith(job.prompt) or kind == "all of it"
    form = await discord.press(asked.message, "Edit prompt")
    assert form.response["components"][0]["component"]["value"] == job.prompt


async def test_a_prompt_of_four_thousand_characters_is_refused_in_a_sentence(discord: Discord, hand: Hand) -> None:
    ada, data = discord.people["ada"], await imagine_data(discord, "狗" * 4000)
    await discord.interact(Interaction(ada, discord.general, COMMAND, data))
    await discord.until(discord.private)
    assert "at most 1000 characters, this one has 4,000" in discord.private()[0].text
    assert not await hand.jobs(SPACE)


def test_a_link_with_another_name_is_no_link() -> None:
    assert plain("[a](https://b.example)") == "\\[a](https:\u200b//b.example)"


async def test_names_ring_nobody(discord: Discord, hand: Hand) -> None:
    said = await trained(discord, hand, options(photos()), name="_-_rex_-_")
    assert said.pings == [discord.people["ada"].id] and r"\_-\_rex\_-\_ is ready" in said.text
