"""What is forgotten on Slack: messages and uploads, everything of a person, and of those who left."""

from pathlib import Path

import pytest

from bot.commands.departures import Departures, forget_left_spaces
from bot.connectors.slack.client import session, web_client
from bot.connectors.slack.members import SlackMembers
from storage.ask.documents import Documents
from storage.kinds.imagine import ImagineJob
from storage.lifecycle import departures
from tests.servers.slack.people import ADA, BOB, images
from tests.servers.slack.server import until
from tests.servers.slack.workspace import BOT_USER, TEAM
from tests.support.slack_bot import SPACE, Scene, drawn_in

pytestmark = pytest.mark.timeout(300)


def departures_of(scene: Scene) -> list[Path]:
    """What is noted of those who left."""
    return list((scene.app.settings.home / "store" / "departures").glob("*.json"))


async def test_what_is_forgotten_leaves_messages_and_uploads(scene: Scene) -> None:
    async with scene.bot():
        end = await scene.trained()
        drawn = await scene.imagined("a [rex] dog in Paris")
        await scene.slack.press(drawn, "Full 1")
        await scene.slack.message(lambda m: "(seed" in m.text and bool(images(m)))
        kept = await scene.imagined("a cat in Rome")
        await scene.slack.slash("/dreambooth", "forget rex")
        await scene.slack.press(await scene.slack.message("Forget rex?", user=ADA), "Forget")
        said = await scene.slack.message("Forgot rex", user=ADA)
        assert "could not" not in said.text and "later" not in said.text
        gone = [m for m in scene.slack.seen() if m is not kept]
        assert end in gone and drawn in gone
        assert {m.text for m in gone} == {"This was deleted."} and not any(m.blocks for m in gone)
        ours = {file.id for file in scene.slack.workspace.files.values() if file.user == BOT_USER}
        assert ours == {block["slack_file"]["id"] for block in images(kept)}
        assert not await scene.app.store.names("retracting/")


@pytest.mark.slow
async def test_what_cannot_be_deleted_is_said(scene: Scene) -> None:
    async with scene.bot():
        await scene.trained()
        await scene.slack.slash("/dreambooth", "forget rex")
        asked = await scene.slack.message("Forget rex?", user=ADA)
        scene.slack.general.archived = True
        await scene.slack.press(asked, "Forget")
        said = await scene.slack.message("could not be changed (is_archived)", user=ADA)
        assert "Forgot rex" in said.text


async def test_everything_of_a_person_is_forgotten(scene: Scene) -> None:
    direct = scene.slack.workspace.conversation_with(ADA)
    async with scene.bot():
        await scene.trained()
        await scene.imagined("a cat in Rome")
        await drawn_in(scene, direct, f"{SPACE}:{direct.id}")
        await scene.slack.slash("/imagine", "a bird", user=BOB)
        await scene.job(3)
        await scene.slack.slash("/dreambooth", "forget me")
        asked = await scene.slack.message("Forget everything of yours?", user=ADA)
        await scene.slack.press(asked, "Forget everything")
        await scene.slack.message("Forgot everything of yours: 1 subject", user=ADA)
        assert [job.owner for job in await scene.hand.jobs(SPACE)] == [BOB]
        assert not await scene.hand.jobs(f"{SPACE}:{direct.id}") and not await scene.app.subjects.in_space(SPACE)


async def test_an_uninstalled_app_leaves_nothing_after_the_grace(scene: Scene) -> None:
    await scene.hand.keep(SPACE, ADA, 1)
    async with scene.bot():
        event = {"type": "app_uninstalled"}
        await scene.slack.deliver("events_api", scene.slack.payloads.event(event))
        await until(lambda: departures_of(scene))
    await forget_left_spaces(scene.app.store, 3600.0)
    assert await scene.app.subjects.in_space(SPACE), "the grace is not over"
    await forget_left_spaces(scene.app.store, 0.0)
    assert not await scene.app.subjects.in_space(SPACE) and not departures_of(scene)


async def test_an_app_that_is_installed_again_keeps_all(scene: Scene) -> None:
    await scene.hand.keep(SPACE, ADA, 1)
    await departures.note(scene.app.store, SPACE)
    async with scene.bot():
        assert not departures_of(scene)


@pytest.mark.parametrize("days", [0, 30])
async def test_who_is_deactivated_is_forgotten_after_the_grace(scene: Scene, days: int) -> None:
    await scene.hand.keep(SPACE, ADA, 1)
    async with session() as http:
        looking = Departures(scene.app, SlackMembers(web_client(scene.settings, http), TEAM))
        scene.app.settings = scene.settings.model_copy(update={"forget_after_days": days})
        await looking.look()
        assert await scene.app.subjects.in_space(SPACE) and not departures_of(scene)
        scene.slack.workspace.users[ADA]["deleted"] = True
        await looking.look()
        assert bool(await scene.app.subjects.in_space(SPACE)) == bool(departures_of(scene)) == (days > 0)
        scene.slack.workspace.users[ADA]["deleted"] = False
        await looking.look()
        assert not departures_of(scene)


async def test_what_who_is_deactivated_drew_in_direct_messages_is_forgotten_as_well(scene: Scene) -> None:
    space = f"{SPACE}:D0DIRECT"  # in which nothing was learned
    drawing = ImagineJob(space=space, owner=ADA, prompt="a secret", model_prompt="a secret", seed=1)
    await scene.app.dispatch.accept(drawing)
    await Documents(scene.app.store).save(SPACE, ADA, "notes.txt", b"of mine", shared="private")
    async with session() as http:
        looking = Departures(scene.app, SlackMembers(web_client(scene.settings, http), TEAM))
        scene.app.settings = scene.settings.model_copy(update={"forget_after_days": 0})
        await looking.look()
        assert await scene.hand.jobs(space) and await Documents(scene.app.store).everywhere()
        scene.slack.workspace.users[ADA]["deleted"] = True
        await looking.look()
    assert not await scene.hand.jobs(space) and not await Documents(scene.app.store).everywhere()
