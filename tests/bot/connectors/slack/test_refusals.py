"""What Slack refuses for good: said to who asked before anything is spent, or in private; nothing is tried for ever."""

import asyncio

import pytest

from bot.connectors.slack import connector
from bot.connectors.slack import poster as slack_poster
from bot.delivery import reliable_poster
from storage.errors import SetupError
from storage.kinds.train import TrainJob
from tests.conftest import photos_of_a_character
from tests.servers.slack.people import ADA, images
from tests.servers.slack.server import until
from tests.servers.slack.workspace import TEAM
from tests.support.discord_bot import open_posts
from tests.support.slack_bot import SPACE, Scene

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliable_poster, "UNKNOWN_S", 0.5)
    monkeypatch.setattr(slack_poster, "PROCESSING_S", (0.01, 0.01))


REFUSALS = {
    "restricted_action_read_only_channel": "This channel is read-only for me.",
    "restricted_action_thread_locked": "This thread is locked",
    "is_archived": "This channel is archived",
    "not_in_channel": "Invite me with /invite",
    "messages_tab_disabled": "switched off",
    "ekm_access_denied": "suspended posting",
    "account_inactive": "Slack does not let me do this any more",
    "team_access_not_granted": "Slack does not let me do this any more",
    "msg_too_long": "Slack does not take my answer here (msg_too_long)",
    "a_code_of_next_year": "an unknown answer (a_code_of_next_year)",
}


async def test_where_the_bot_cannot_answer_it_says_so_and_spends_nothing(scene: Scene) -> None:
    async with scene.bot():
        for number, (code, sentence) in enumerate(REFUSALS.items(), 1):
            trouble = scene.server.trouble("chat.postMessage", code, times=99)
            await scene.slack.slash("/imagine", "a dog in Paris")
            await until(lambda number=number: len(scene.slack.seen(user=ADA)) == number)
            assert sentence in scene.slack.seen(user=ADA)[-1].text
            trouble.times = 0
        await until(lambda: not open_posts(scene.app))
        assert await scene.hand.jobs(SPACE) == [] and not scene.slack.seen()
        await scene.imagined()  # a method that is refused ends no bot whose token is good


@pytest.mark.slow
async def test_a_channel_that_becomes_read_only(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos_of_a_character()))
        job = await scene.job()
        assert isinstance(job, TrainJob)
        await scene.slack.message("no worker is running")
        for method in ("chat.update", "chat.postMessage", "chat.postEphemeral"):
            scene.server.trouble(method, "restricted_action_read_only_channel", times=1 if "Message" in method else 99)
        for step in (3, 6, 9):
            await scene.hand.progress(job.id, "learning", step, 10)
            await asyncio.sleep(0.3)
        await scene.hand.train(job)
        (told,) = await until(scene.slack.told)
        assert "rex is ready" in told.text and "This channel is read-only for me." in told.text and images(told)
        await until(lambda: not open_posts(scene.app))
    assert caplog.text.count("nothing more is said of job") == 1


@pytest.mark.parametrize("code", ["a_code_of_next_year", "user_not_found"])
async def test_what_can_be_said_nowhere_ends(scene: Scene, caplog: pytest.LogCaptureFixture, code: str) -> None:
    async with scene.bot():
        await scene.slack.mention("imagine a dog in Paris")
        job = await scene.job()
        await scene.slack.message("no worker is running")
        for method in ("chat.update", "chat.postMessage", "chat.postEphemeral", "conversations.open"):
            scene.server.trouble(method, code, times=999)
        await scene.hand.draw(job)
        await until(lambda: not open_posts(scene.app))
    assert f"{ADA} could not be told of job {job.id}: {code}" in caplog.text


async def test_where_slack_takes_no_blocks_the_words_are_said(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job = await scene.job()
        message = await scene.slack.message("no worker is running")
        scene.server.trouble("chat.update", "invalid_blocks", times=6)
        await scene.hand.draw(job)
        await scene.slack.message(lambda m: m is message and not m.blocks and "a dog in Paris" in m.text)
        await scene.slack.message(lambda m: bool(m.files))


async def test_trouble_while_looking_for_what_may_be_said_is_no_answer(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos_of_a_character()))
        job = await scene.job()
        assert isinstance(job, TrainJob)
        await scene.slack.message("no worker is running")
        lost = scene.server.trouble("chat.postMessage", lost=True)  # it is said, but the bot never hears so
        await scene.hand.train(job)
        await lost.happened.wait()
        await scene.slack.message("<@")
    looks = [
        scene.server.trouble("conversations.replies", error, retry_after_s=0)
        for error in ("ratelimited", "internal_error")
    ]
    async with scene.bot():
        await until(lambda: not open_posts(scene.app))
    assert all(look.happened.is_set() for look in looks)
    assert len([m for m in scene.slack.seen() if "<@" in m.text]) == 1


async def test_a_busy_channel_is_looked_through_page_by_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_poster, "LOOK_BACK", 2)
    async with scene.bot():
        lost = scene.server.trouble("chat.postMessage", lost=True)
        await scene.slack.slash("/imagine", "a dog in Paris")
        await lost.happened.wait()
        message = await scene.slack.message("On it")
    for number in range(5):
        await scene.slack.say(f"nice, {number}")
    async with scene.bot():
        await scene.hand.draw(await scene.job())
        await scene.slack.message(lambda m: m is message and bool(images(m)))
    assert scene.slack.seen() == [message]


@pytest.mark.parametrize("noticed", ["by a call", "by the socket", "by an event"])
async def test_a_token_that_is_revoked_ends_the_bot_with_the_sentence_of_the_start(scene: Scene, noticed: str) -> None:
    said: list[str] = []
    serving = asyncio.create_task(connector.serve(scene.settings, scene.redis_url, said.append))
    await until(lambda: said)
    await scene.slack.slash("/imagine", "a dog in Paris")
    await scene.slack.message("no worker is running")
    scene.server.revoked = True
    if noticed == "by a call":
        await scene.slack.slash("/imagine", "a cat in Rome")
        await scene.slack.message("Slack does not let me do this any more", user=ADA)
    elif noticed == "by the socket":
        await scene.server.sockets.cut()
    else:
        await scene.slack.deliver("events_api", scene.slack.payloads.event({"type": "app_uninstalled"}))
    setting = "SLACK_APP_TOKEN" if noticed == "by the socket" else "SLACK_BOT_TOKEN"
    with pytest.raises(SetupError, match=rf"Slack refuses {setting} \(token_revoked\). Copy it again from"):
        await asyncio.wait_for(serving, 120)
    assert not await scene.app.redis.exists(f"darkroom:leader:slack:{TEAM}")
    assert len(open_posts(scene.app)) == 1, "what was accepted goes on when the token is good again"


async def test_an_unknown_answer_at_the_start_is_tried_for_a_while(scene: Scene) -> None:
    trouble = scene.server.trouble("auth.test", "a_code_of_next_year", times=99)
    with pytest.raises(SetupError, match="a_code_of_next_year, which is unknown to Darkroom"):
        async with scene.bot():
            pass
    assert trouble.times < 98


@pytest.mark.parametrize("trouble", [{"retry_after_s": 1}, {"error": "", "status": 503, "times": 3}], ids=str)
async def test_a_form_is_tried_again_while_its_trigger_is_good(scene: Scene, trouble: dict[str, int]) -> None:
    async with scene.bot():
        scene.server.trouble("views.open", **trouble)
        await scene.slack.slash("/imagine")
        await scene.slack.view()
        assert not scene.slack.seen(user=ADA)


async def test_a_form_that_slack_does_not_open_in_time(scene: Scene) -> None:
    async with scene.bot():
        scene.server.trouble("views.open", retry_after_s=30)
        await scene.slack.slash("/imagine")
        await scene.slack.message("did not let me open the form in time", user=ADA)
        assert scene.server.count("views.open") == 1
        scene.server.trouble("views.open", "invalid_arguments")
        await scene.slack.slash("/imagine")
        await scene.slack.message("does not open the form (invalid_arguments)", user=ADA)
