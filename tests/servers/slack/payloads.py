"""What Slack sends when people do something, field by field."""

import time
from typing import Any

from tests.servers.slack.server import SlackServer
from tests.servers.slack.workspace import APP, BOT_USER, TEAM, Channel, File, Json, Message, ResponseUrl, View

WHO = {"token": "deprecated", "api_app_id": APP}


def escaped(text: str) -> str:
    """Text as Slack passes it on."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Payloads:
    """Makes payloads about the messages, files and forms of a server."""

    def __init__(self, server: SlackServer) -> None:
        self.server, self.workspace = server, server.workspace

    def slash(self, command: str, text: str, user: str, channel: Channel) -> Json:
        """A typed command."""
        about = Message(self.workspace.new_ts(), channel.id, user)
        return {
            **WHO,
            "team_id": TEAM,
            "team_domain": "tests",
            "channel_id": channel.id,
            "channel_name": channel.told_name,
            "user_id": user,
            "user_name": user.lower(),
            "command": command,
            "text": self._marked_up(text),
            "is_enterprise_install": "false",
            "response_url": self._response_url(about, user),
            "trigger_id": self.workspace.trigger(user),
        }

    def _marked_up(self, text: str) -> str:
        """Text as Slack passes it on to a command that wants names with their ids (`should_escape`)."""
        marks = {f"@{group.lower()}": f"<!subteam^{group}|@{group.lower()}>" for group in self.workspace.groups}
        marks |= {f"@{user.lower()}": f"<@{user}|{user.lower()}>" for user in self.workspace.users}
        return " ".join(marks.get(word, word) for word in escaped(text).split(" "))

    def press(self, message: Message, block: Json, element: Json, option: Json | None, user: str) -> Json:
        """A pressed button, or something chosen from a list."""
        action = {"type": element["type"], "action_id": element["action_id"], "block_id": block.get("block_id", "x1")}
        action |= {"selected_option": option} if option else {"value": element.get("value"), "text": element["text"]}
        hidden = bool(message.only_for)
        container = {"type": "message", "message_ts": message.ts, "channel_id": message.channel, "is_ephemeral": hidden}
        container |= {"thread_ts": message.thread_ts} if message.thread_ts else {}
        return {
            "type": "block_actions",
            **self._interaction(user),
            "container": container,
            "channel": {"id": message.channel, "name": self.workspace.channels[message.channel].told_name},
            "response_url": self._response_url(message, user),
            "actions": [action | {"action_ts": f"{time.time():.6f}"}],
            **({} if hidden else {"message": message.as_json()}),
        }

    def submission(self, view: View, values: dict[str, str], files: list[File]) -> Json:
        """A form that is sent, with what it showed already where `values` says nothing."""
        state = {}
        left = dict(values)
        for block in view.body["blocks"]:
            if block["type"] != "input":
                continue
            name, element = block["block_id"], block["element"]
            given = left.pop(name, None)
            held = self._held(element, given, files)
            needed = not block.get("optional", False)
            assert not needed or any(v for k, v in held.items() if k != "type"), f"Slack's form asks for {name}"
            state[name] = {element["action_id"]: held}
        assert not left, f"the form has no fields {list(left)}"
        return {"type": "view_submission", **self._interaction(view.user), "view": self._view(view, state)}

    def _held(self, element: Json, given: str | None, files: list[File]) -> Json:
        kind = element["type"]
        if kind == "file_input":
            return {"type": kind, "files": [f.as_event(self.server.base) for f in files]}
        if kind in ("static_select", "external_select"):
            offered = {o["value"]: o for o in element.get("options", [])}
            chosen = offered.get(given) if kind == "static_select" else given and {"value": given}
            assert given is None or chosen, f"{given} is not offered"
            return {"type": kind, "selected_option": chosen or element.get("initial_option")}
        value = element.get("initial_value") if given is None else given
        assert value is None or len(value) <= element.get("max_length", 3000), "Slack's form refuses so long a text"
        return {"type": kind, "value": value or None}

    def suggestion(self, view: View, name: str, typed: str) -> Json:
        """Somebody types into a list that is looked up."""
        block = next(b for b in view.body["blocks"] if b.get("block_id") == name)
        asked = {"action_id": block["element"]["action_id"], "block_id": name, "value": typed}
        return {"type": "block_suggestion", **self._interaction(view.user), **asked, "view": self._view(view, {})}

    def mention(self, message: Message) -> Json:
        """A message that mentions the bot."""
        event = {"type": "app_mention", "user": message.user, "text": message.text, "ts": message.ts}
        event |= {"channel": message.channel, "event_ts": message.ts, "team": TEAM}
        event |= {"user_team": self._team(message.user), "source_team": self._team(message.user)}
        event |= {"thread_ts": message.thread_ts} if message.thread_ts else {}
        if message.files:
            event["files"] = self._files(message)
        return self.event(event)

    def edited(self, message: Message, before: Message) -> Json:
        """A message in a direct conversation that its author changed."""
        now, then = ({**m.as_json(), "files": self._files(m), "type": "message"} for m in (message, before))
        event = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": message.channel}
        event |= {"channel_type": "im", "ts": self.workspace.new_ts(), "message": now, "previous_message": then}
        return self.event(event)

    def event(self, event: Json) -> Json:
        """Any event, in its envelope."""
        return {
            **WHO,
            "team_id": TEAM,
            "type": "event_callback",
            "event": event,
            "event_id": self.workspace.new_id("Ev"),
            "event_time": int(time.time()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True, "is_enterprise_install": False}],
        }

    def shortcut(self, message: Message, callback_id: str, user: str) -> Json:
        """A shortcut chosen in the menu of a message."""
        return {
            "type": "message_action",
            **self._interaction(user),
            "callback_id": callback_id,
            "action_ts": f"{time.time():.6f}",
            "channel": {"id": message.channel, "name": self.workspace.channels[message.channel].told_name},
            "message_ts": message.ts,
            "message": message.as_json() | self._attached(message),
            "response_url": self._response_url(message, user),
        }

    def _team(self, user: str) -> str:
        return str(self.workspace.users[user]["team_id"])

    def _attached(self, message: Message) -> Json:
        """The files of a message, and those of messages that it forwards, which lie in its attachments."""
        shares = [
            {"is_share": True, "is_msg_unfurl": True, "author_id": share.user, "text": share.text, "ts": share.ts}
            | ({"files": self._files(share)} if share.files else {})
            for share in message.shares
        ]
        told: Json = {"files": self._files(message)} if message.files else {}
        return told | ({"attachments": shares} if shares else {})

    def _files(self, message: Message) -> list[Json]:
        return [self.workspace.files[f].as_event(self.server.base) for f in message.files]

    def _interaction(self, user: str) -> Json:
        return {
            **WHO,
            "team": {"id": TEAM, "domain": "tests"},
            "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": self._team(user)},
            "enterprise": None,
            "is_enterprise_install": False,
            "trigger_id": self.workspace.trigger(user),
        }

    def _view(self, view: View, state: Json) -> Json:
        about: dict[str, Any] = {"id": view.id, "team_id": TEAM, "hash": view.hash, "app_id": APP, "bot_id": "B0BOT"}
        return {"private_metadata": "", "callback_id": "", **view.body, **about, "state": {"values": state}}

    def _response_url(self, about: Message, user: str) -> str:
        hook = self.workspace.new_id("hook")
        self.workspace.response_urls[hook] = ResponseUrl(about, user)
        return f"{self.server.base}/hooks/{hook}"
