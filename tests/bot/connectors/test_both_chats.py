"""One `darkroom up` on Discord and on Slack at once, with a real worker: each has subjects of its own."""

import pytest

from bot.app import Darkroom
from tests.conftest import Stack, photos_of_a_character
from tests.servers.discord import File, discord_server
from tests.servers.slack import Slack
from tests.servers.slack.people import ADA
from tests.support.bot_process import bot_process
from tests.support.discord_bot import SPACE as SERVER
from tests.support.discord_bot import bot_environment, options
from tests.support.slack_bot import SPACE as WORKSPACE
from tests.support.slack_bot import environment

pytestmark = pytest.mark.timeout(360)


@pytest.mark.slow
async def test_one_process_serves_both_and_neither_sees_the_others_subjects(
    stack: Stack, workspace: Slack, app: Darkroom
) -> None:
    async with discord_server() as discord:
        given = bot_environment(discord, environment(workspace.server, stack.environment)) | {"DARKROOM_PORT": "0"}
        async with bot_process("up", given, app) as up:
            await discord.until(lambda: sum("Darkroom is on " in line for line in up.said) == 2)
            files = [File(upload.name, upload.data, "image/png") for upload in photos_of_a_character()]
            await discord.slash("dreambooth train", name="rex", class_="dog", steps=2, **options(files))
            await workspace.mention("train rex dog --steps 2", files=workspace.photos(photos_of_a_character(seed=4)))
            await discord.until(lambda: [m for m in discord.visible(discord.general) if m.pings], within_s=180)
            await workspace.message(lambda m: "rex is ready" in m.text and f"<@{ADA}>" in m.text, within_s=180)
            await workspace.slash("/dreambooth", "forget rex")
            await workspace.press(await workspace.message("Forget rex?", user=ADA), "Forget")
            await workspace.message("Forgot rex", user=ADA)
            await workspace.slash("/imagine", "a [rex] dog in Paris")
            await workspace.message("no subject called rex", user=ADA)
            assert not await app.subjects.in_space(WORKSPACE)
            (rex,) = await app.subjects.in_space(SERVER)
            await app.subjects.forget(rex)
            workspace.server.revoked = True  # somebody takes the app out of the workspace
            await workspace.slash("/imagine", "a dog in Paris")
            await discord.until(lambda: any("Everything else goes on." in line for line in up.said))
            assert any("Slack refuses SLACK_BOT_TOKEN (token_revoked)." in line for line in up.said)
            assert not await app.redis.exists(f"darkroom:leader:{WORKSPACE}")
            listed = await discord.slash("dreambooth list")
            await discord.until(lambda: "No subjects yet" in listed.message.text)
