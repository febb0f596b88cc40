"""What people do on Discord, with the real client on a strict local Discord: commands, buttons, forms, menus."""

import pytest

from tests.discord_bot import SPACE
from tests.discord_server import Discord, File
from tests.hand import Hand, is_picture
from tests.photo_files import saved, scene

pytestmark = pytest.mark.timeout(60)


def photos(count: int = 3) -> list[File]:
    return [File(f"rex-{k}.png", saved(scene(seed=k)), "image/png") for k in range(count)]


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
    assert message.labels == ["Again", "Edit prompt", "Delete", "Details", "V1", "V2", "Full 1", "Full 2"]
    (grid,) = message.attachments
    assert grid["description"] and is_picture(discord.cdn.files[grid["id"]].data)
    assert not message.pings and not message.ephemeral


async def test_train_with_photos_from_command_to_announcement(discord: Discord, hand: Hand) -> None:
    options = {f"photo{k}": photo for k, photo in enumerate(photos(), 1)}
    asked = await discord.slash("dreambooth train", name="rex", class_="dog", **options)
    job = await hand.job(SPACE)
    await hand.progress(job.id, "learning", 100, 400, samples=2)
    await discord.until(lambda: "Learning, 100 of 400" in asked.message.text and len(asked.message.attachments) == 2)
    await hand.train(job)
    (said,) = await discord.until(lambda: [m for m in discord.visible(discord.general) if m.pings])
    assert said.pings == [discord.people["ada"].id]
    assert said.reference["message_id"] == asked.message.id
    assert said.labels[:2] == ["Imagine", "Show"] and "Share" in said.labels and "Details" in said.labels
    (sheet,) = said.attachments
    assert "photos" in sheet["description"]
    await discord.until(lambda: "is ready" in asked.message.text)
    assert not asked.message.pings
