"""Documents that people attach on both chats: HTML among them; what has no text is refused when it is added."""

import pytest

from storage.ask.documents import Documents
from tests.servers.discord import Discord, File
from tests.servers.slack.people import ADA
from tests.support.discord_bot import SPACE as SERVER
from tests.support.discord_bot import Place
from tests.support.slack_bot import SPACE, Scene
from tests.trainer.ask.test_extract import pdf

pytestmark = pytest.mark.timeout(300)
HTML = b"<!DOCTYPE html><html><head><title>The tower</title></head><body><p>It is 312 metres tall.</p></body></html>"


async def test_an_html_document_is_added_on_discord(discord: Discord, place: Place) -> None:
    page = File("tower.html", HTML, "text/html")
    asked = await discord.slash("documents add", file1=page, file2=File("scan.pdf", pdf(), "application/pdf"))
    await discord.until(lambda: "Added tower.html" in asked.message.text)
    assert "scan.pdf has no text, only pictures of pages: it may be a scan." in asked.message.text
    (kept,) = await Documents(place.app.store).in_space(SERVER)
    assert await Documents(place.app.store).read(kept) == HTML


async def test_an_html_document_is_added_on_slack_and_a_page_of_a_refusal_is_none(scene: Scene) -> None:
    workspace = scene.slack.workspace
    files = [workspace.add_file("tower.html", HTML, ADA), workspace.add_file("b.html", HTML, ADA, serves="html")]
    async with scene.bot():
        await scene.slack.mention("documents add", files=files)
        said = await scene.slack.message("Added tower.html", user=ADA)
    assert "b.html came as a web page instead of a file" in said.text
    (kept,) = await Documents(scene.app.store).in_space(SPACE)
    assert await Documents(scene.app.store).read(kept) == HTML
