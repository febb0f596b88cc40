"""Setting Slack up: the manifest, what `darkroom doctor` says of tokens and scopes, the walk-through."""

import json
from pathlib import Path

import pytest

from bot.commands.registry import COMMANDS
from bot.connectors.slack.setup import EVENTS, HTTP_EXAMPLE, SCOPES, checks, manifest, manifest_text
from bot.connectors.slack.slash_commands import WORDS
from bot.core.checks import Check
from tests.servers.slack import methods
from tests.servers.slack.methods import METHODS
from tests.support.slack_bot import Scene

DOCS = Path(__file__).parents[4] / "docs"


async def examined(scene: Scene) -> dict[str, Check]:
    """What `darkroom doctor` says of Slack."""
    return {check.name: check async for check in checks(scene.settings)}


def test_the_manifests_in_the_docs_are_fresh() -> None:
    for name, text in (("", manifest_text()), ("-http", manifest_text(HTTP_EXAMPLE))):
        assert (DOCS / f"slack-manifest{name}.json").read_text() == f"{text}\n", "run `make docs`"


def test_the_manifest_says_all_that_the_bot_listens_to_and_needs() -> None:
    said = manifest()
    commands = {command["command"]: command for command in said["features"]["slash_commands"]}
    assert sorted(commands) == WORDS == ["/ask", "/darkroom", "/documents", "/dreambooth", "/imagine"]
    hints = commands["/dreambooth"]["usage_hint"]
    assert all(name.split()[1] in hints for name, c in COMMANDS.items() if name[:5] == "dream" and not c.hidden)
    assert set(SCOPES) >= {method.scope for method in METHODS.values() if method.scope}
    assert said["settings"]["event_subscriptions"]["bot_events"] == EVENTS
    assert said["settings"]["socket_mode_enabled"] and "url" not in json.dumps(said)
    over_http = manifest(HTTP_EXAMPLE)["settings"]
    assert not over_http["socket_mode_enabled"]
    assert over_http["interactivity"]["request_url"] == over_http["event_subscriptions"]["request_url"] == HTTP_EXAMPLE


def test_the_walk_through_names_every_scope() -> None:
    page = (DOCS / "slack.md").read_text()
    assert [scope for scope in SCOPES if f"`{scope}`" not in page] == []


async def test_the_doctor_is_content(scene: Scene) -> None:
    scene.slack.workspace.scopes = ",".join(SCOPES)
    found = await examined(scene)
    assert {check.state for check in found.values()} == {"ok"}, found
    assert found["Slack token"].says == "darkroom in Tests (T0TEAM)"
    del scene.environment["SLACK_APP_TOKEN"]
    assert "request URL must lead to http://127.0.0.1" in (await examined(scene))["Slack connection"].says


@pytest.mark.parametrize(
    ("setting", "value", "where", "sentence"),
    [
        ("SLACK_BOT_TOKEN", "xoxb-wrong", "Slack token", "OAuth & Permissions → Bot User OAuth Token"),
        ("SLACK_APP_TOKEN", "xapp-wrong", "Slack connection", "App-Level Tokens with the scope connections:write"),
        ("SLACK_API_URL", "http://127.0.0.1:9/api/", "Slack token", "Is SLACK_API_URL right"),
    ],
)
async def test_the_doctor_says_what_to_click(scene: Scene, setting: str, value: str, where: str, sentence: str) -> None:
    scene.environment[setting] = value
    found = (await examined(scene))[where]
    assert found.state == "fail" and sentence in found.says
    assert value not in found.says or setting == "SLACK_API_URL", "tokens are never shown"


@pytest.mark.parametrize(("method", "where"), [("auth.test", "token"), ("apps.connections.open", "connection")])
async def test_the_doctor_does_not_blame_a_token_for_trouble_that_passes(scene: Scene, method: str, where: str) -> None:
    scene.server.trouble(method, retry_after_s=7)
    found = (await examined(scene))[f"Slack {where}"]
    assert found.state == "fail"
    assert found.says == "Slack has trouble of its own (asked to wait 7.0 s). Try again in a minute."


async def test_the_doctor_names_missing_scopes_and_what_they_are_for(scene: Scene) -> None:
    for lost, state in (("files:read", "fail"), ("usergroups:read", "warn")):
        scene.slack.workspace.scopes = ",".join(scope for scope in SCOPES if scope != lost)
        found = (await examined(scene))["Slack scopes"]
        assert found.state == state and f"missing: {lost} ({SCOPES[lost]})." in found.says
        assert "darkroom slack --manifest" in found.says


async def test_a_bot_with_the_least_rights_still_answers(scene: Scene) -> None:
    scene.slack.workspace.scopes = "commands,chat:write,app_mentions:read,files:read,files:write"
    async with scene.bot():
        await scene.trained()
        await scene.imagined("a [rex] dog in Paris")


def test_requests_are_held_against_slacks_own_description() -> None:
    if not methods.SPEC.exists():
        pytest.skip("DARKROOM_SLACK_SPEC names no file: slack_web_openapi_v2.json of slackapi/slack-api-specs")
    assert methods.problems("chat.postMessage", {"channel": "C1", "text": "a", "link_names": True}, True) == []
    assert methods.problems("chat.postMessage", {"text": "a"}, True) != []
    assert methods.problems("chat.postMessage", {"channel": "C1", "link_names": "perhaps"}, True) != []
