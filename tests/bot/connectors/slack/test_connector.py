"""How the bot comes to Slack and stays there: trouble at the start and at a takeover, lost connections, redelivery."""

import asyncio

import pytest

from bot.connectors.slack import connector
from storage.kinds.imagine import ImagineJob
from tests.conftest import photos_of_a_character
from tests.servers.slack.people import ADA, images, labels
from tests.servers.slack.workspace import BOT_USER, Json, View, Workspace
from tests.support.slack_bot import SPACE, Scene


@pytest.mark.parametrize("method", ["auth.test", "apps.connections.open"])
@pytest.mark.parametrize(("error", "status"), [("ratelimited", 429), ("internal_error", 200), ("", 503)])
async def test_trouble_that_passes_ends_nothing(scene: Scene, method: str, error: str, status: int) -> None:
    scene.server.trouble(method, error, status=status, times=2, retry_after_s=0)
    async with scene.bot():
        assert scene.server.count(method) == 3


async def test_a_store_that_is_away_is_waited_for(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    broken = scene.settings.home / "store" / "posts"
    broken.symlink_to(broken)
    asyncio.get_running_loop().call_later(0.3, broken.unlink)
    async with scene.bot():
        assert not broken.is_symlink() and "Too many levels of symbolic links" in caplog.text
        await scene.slack.slash("/imagine", "a dog in Paris")
        await scene.job()


async def test_an_address_to_connect_to_is_tried_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "PING_S", 0.2)
    sockets = scene.server.sockets
    sockets.busy = 2
    async with scene.bot():
        sockets.busy = 1
        await sockets.cut()
        await sockets.wait()
        await scene.slack.slash("/imagine", "a dog in Paris")
        await scene.job()


async def test_what_is_none_of_ours_is_acknowledged(scene: Scene) -> None:
    slack = scene.slack
    message = slack.workspace.post(slack.general, BOT_USER, "of long ago")
    button: Json = {"type": "button", "action_id": "old", "value": "old", "text": {"type": "plain_text", "text": "Old"}}
    form = View("V1", ADA, {"type": "modal", "callback_id": "old", "blocks": [{"type": "input", "block_id": "old"}]})
    form.body["blocks"][0]["element"] = {"type": "external_select", "action_id": "old", "initial_option": button}
    async with scene.bot():
        await slack.deliver("events_api", slack.payloads.event({"type": "reaction_added", "user": ADA}))
        await slack.deliver("interactive", slack.payloads.press(message, {}, button, None, ADA))
        await slack.deliver("interactive", slack.payloads.submission(form, {}, []))
        await slack.deliver("interactive", slack.payloads.suggestion(form, "old", ""))
        await slack.shortcut(message, "old")
        await slack.slash("/draw", "a dog")
        await slack.message("I do not know “/draw a”", user=ADA)
        assert slack.seen() == [message]


@pytest.mark.parametrize("how", ["disconnect", "cut"])
async def test_the_connection_ends_and_another_is_opened(scene: Scene, how: str) -> None:
    sockets = scene.server.sockets
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job = await scene.job()
        await getattr(sockets, how)()
        await scene.hand.draw(job)
        await scene.slack.message(lambda m: bool(images(m)))
        await sockets.wait()
        await scene.slack.slash("/imagine", "a cat in Rome")
        await scene.job(2)
        assert sockets.connected == 2


async def test_what_is_delivered_twice_is_done_once(scene: Scene) -> None:
    slack = scene.slack
    async with scene.bot():
        command = await slack.slash("/imagine", "a dog in Paris")
        await slack.deliver("slash_commands", command)
        mention = await slack.mention("train rex dog", files=slack.photos(photos_of_a_character()))
        await slack.deliver("events_api", mention)
        await scene.job(2)
        for job in await scene.hand.jobs(SPACE):
            await (scene.hand.draw(job) if isinstance(job, ImagineJob) else scene.hand.train(job))
        end = await slack.message(lambda m: "rex is ready" in m.text and "<@" in m.text)
        again = await slack.press(await slack.message(lambda m: "Again" in labels(m)), "Again")
        await slack.deliver("interactive", again)
        await scene.job(3)
        await slack.slash("/dreambooth", "list")
        await slack.message("1 subject:", user=ADA)
        assert [m for m in slack.seen() if "<@" in m.text] == [end]
        assert len(await scene.hand.jobs(SPACE)) == 3


def test_no_two_workspaces_of_the_tests_share_an_id() -> None:
    """A deployment takes what one says for delivered again where another has used the id of its trigger before."""
    first, second = ({workspace.new_id("trigger.") for _ in range(500)} for workspace in (Workspace(), Workspace()))
    assert first.isdisjoint(second) and len(first) == 500
