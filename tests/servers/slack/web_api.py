"""What the methods of the Web API do."""

import time
from collections.abc import Callable
from typing import Any

from tests.servers.slack import block_kit
from tests.servers.slack.workspace import BOT, BOT_USER, TEAM, Channel, File, Json, Message, Refused, View, Workspace

TEXT_MAX = 40_000


class Answers:
    """The methods, each a function of its arguments; raises Refused where Slack would refuse."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.base = ""
        self.refuses_file_blocks = False  # as if slack_file blocks were not allowed here
        self._methods: dict[str, Callable[..., Json]] = {
            "auth.test": self.auth_test,
            "apps.connections.open": self.connections_open,
            "chat.postMessage": self.post,
            "chat.update": self.update,
            "chat.delete": self.delete,
            "chat.postEphemeral": self.post_ephemeral,
            "conversations.history": self.history,
            "conversations.replies": self.replies,
            "conversations.open": self.open_conversation,
            "conversations.info": self.conversation,
            "users.info": self.user,
            "usergroups.list": self.groups,
            "views.open": self.open_view,
            "views.update": self.update_view,
            "views.publish": self.publish,
            "files.getUploadURLExternal": self.upload_url,
            "files.completeUploadExternal": self.complete_upload,
            "files.info": self.file,
            "files.delete": self.delete_file,
        }

    async def answer(self, method: str, given: Json) -> Json:
        """Do what a call asks for."""
        return self._methods[method](**given)

    def auth_test(self, **_: str) -> Json:
        return {
            "url": f"{self.base}/",
            "team": "Tests",
            "team_id": TEAM,
            "user": "darkroom",
            "user_id": BOT_USER,
            "bot_id": BOT,
            **({"enterprise_id": self.workspace.enterprise} if self.workspace.enterprise else {}),
        }

    def connections_open(self) -> Json:
        ticket = self.workspace.new_id("ticket")
        return {"url": f"{self.base.replace('http', 'ws', 1)}/socket/{ticket}"}

    def post(self, channel: str, **said: Any) -> Json:
        place = self.workspace.channel(channel)
        place.check_open(uninvited="chat:write.public" in self.workspace.scopes)
        self._check(said)
        if (thread := said.get("thread_ts")) and thread not in place.messages:
            raise Refused("thread_not_found")
        message = self.workspace.post(place, BOT_USER, said.get("text", ""), **_kept(said))
        return {"channel": place.id, "ts": message.ts, "message": message.as_json()}

    def update(self, channel: str, ts: str, **said: Any) -> Json:
        place = self.workspace.channel(channel)
        place.check_open(uninvited=True)
        message = self._ours(place, ts, "cant_update_message")
        self._check(said)
        message.text, message.blocks = said.get("text", ""), said.get("blocks", [])
        message.metadata = said.get("metadata", message.metadata)
        message.versions.append(message.text)
        return {"channel": place.id, "ts": ts, "text": message.text}

    def delete(self, channel: str, ts: str) -> Json:
        place = self.workspace.channel(channel)
        del place.messages[self._ours(place, ts, "cant_delete_message").ts]
        return {"channel": place.id, "ts": ts}

    def post_ephemeral(self, channel: str, user: str, **said: Any) -> Json:
        place = self.workspace.channel(channel)
        place.check_open(uninvited=False)
        self._check(said)
        message = self.workspace.post(place, BOT_USER, said.get("text", ""), only_for=user, **_kept(said))
        return {"message_ts": message.ts}

    def _ours(self, place: Channel, ts: str, otherwise: str) -> Message:
        message = place.messages.get(ts)
        if not message or message.only_for:
            raise Refused("message_not_found")
        if message.user != BOT_USER:
            raise Refused(otherwise)
        return message

    def _check(self, said: Json) -> None:
        """Check what a message says; raises Refused as Slack does, and notes what the bot should have known."""
        if not said.get("text"):
            self.workspace.violated("a message without text: notifications and screen readers have nothing to read")
        if len(said.get("text", "")) > TEXT_MAX:
            self.workspace.violated(f"a text of {len(said['text'])} characters")
            raise Refused("msg_too_long")
        blocks = said.get("blocks", [])
        found = block_kit.problems(blocks)
        for problem in found:
            self.workspace.violated(problem)
        if found or not all(self._can_be_shown(b["slack_file"]["id"]) for b in blocks if "slack_file" in b):
            raise Refused("invalid_blocks", errors=found)

    def _can_be_shown(self, file_id: str) -> bool:
        file = self.workspace.files.get(file_id)
        if not file or not file.completed:
            self.workspace.violated(f"an image block of file {file_id}, whose upload was not completed")
            return False
        return time.monotonic() >= file.shown_after_s and not self.refuses_file_blocks

    def history(self, channel: str, limit: str = "100", **more: str) -> Json:
        place = self.workspace.channel(channel)
        place.check_open(uninvited=False)
        found = [m for m in reversed(place.messages.values()) if not m.only_for and not m.thread_ts]
        found = [m for m in found if m.ts >= more.get("oldest", "0")]
        return _page(found, int(limit), more)

    def replies(self, channel: str, ts: str, limit: str = "1000", **more: str) -> Json:
        place = self.workspace.channel(channel)
        place.check_open(uninvited=False)
        if ts not in place.messages:
            raise Refused("thread_not_found")
        found = [m for m in place.messages.values() if (m.ts == ts or m.thread_ts == ts) and not m.only_for]
        return _page(found, int(limit), more)

    def open_conversation(self, users: str, **_: str) -> Json:
        return {"channel": {"id": self.workspace.conversation_with(users).id}}

    def conversation(self, channel: str, **_: str) -> Json:
        place = self.workspace.channel(channel)
        return {"channel": place.as_json()}

    def user(self, user: str, **_: str) -> Json:
        if user not in self.workspace.users:
            raise Refused("user_not_found")
        return {"user": self.workspace.users[user]}

    def groups(self, include_users: str = "0", **_: str) -> Json:
        told = [{"id": group, "handle": group.lower()} for group in self.workspace.groups]
        if include_users in ("1", "true"):
            told = [{**group, "users": self.workspace.groups[group["id"]]} for group in told]
        return {"usergroups": told}

    def open_view(self, trigger_id: str, view: Json) -> Json:
        user = self.workspace.use_trigger(trigger_id)
        self._check_view(view)
        opened = View(self.workspace.new_id("V"), user, view)
        self.workspace.views[opened.id] = opened
        return {"view": {"id": opened.id, "hash": opened.hash, **view}}

    def update_view(self, view: Json, view_id: str, **_: str) -> Json:
        self._check_view(view)
        if view_id not in self.workspace.views:
            raise Refused("not_found")
        self.workspace.views[view_id].body = view
        return {"view": {"id": view_id, **view}}

    def publish(self, user_id: str, view: Json, **_: str) -> Json:
        self._check_view(view)
        home = View(f"home-{user_id}", user_id, view)
        self.workspace.views[home.id] = home
        return {"view": {"id": home.id, **view}}

    def _check_view(self, view: Json) -> None:
        found = block_kit.view_problems(view)
        for problem in found:
            self.workspace.violated(problem)
        if found:
            raise Refused("invalid_arguments", response_metadata={"messages": found})

    def upload_url(self, filename: str, length: str, alt_txt: str = "", **_: str) -> Json:
        if int(length) <= 0:
            raise Refused("invalid_arguments")
        file = File(
            self.workspace.new_id("F"), filename, int(length), BOT_USER, completed=False, alt_text=alt_txt
        )  # no bytes yet
        self.workspace.files[file.id] = file
        return {"upload_url": f"{self.base}/upload/v1/{file.id}", "file_id": file.id}

    def complete_upload(self, files: list[Json], channel_id: str = "", thread_ts: str = "", **more: Any) -> Json:
        chosen = [self.workspace.files.get(f["id"]) for f in files]
        for file in chosen:
            if file is None or file.data is None or file.completed:
                self.workspace.violated("an upload completed twice, or before its bytes came")
                raise Refused("file_not_found")
            file.completed, file.shown_after_s = True, time.monotonic() + self.workspace.processing_s
        if channel_id:
            place = self.workspace.channel(channel_id)
            place.check_open(uninvited=False)
            ids = [f["id"] for f in files]
            self.workspace.post(place, BOT_USER, more.get("initial_comment", ""), thread_ts=thread_ts, files=ids)
        return {"files": [{"id": f.id, "title": f.name} for f in chosen if f]}

    def delete_file(self, file: str, **_: str) -> Json:
        if file not in self.workspace.files:
            raise Refused("file_not_found")
        if self.workspace.files[file].user != BOT_USER:
            raise Refused("cant_delete_file")
        del self.workspace.files[file]
        return {}

    def file(self, file: str, **_: str) -> Json:
        if file not in self.workspace.files:
            raise Refused("file_not_found")
        return {"file": self.workspace.files[file].as_json(self.base)}


def _page(found: list[Message], limit: int, more: Json) -> Json:
    with_metadata = more.get("include_all_metadata") in ("1", "true")
    at = int(more.get("cursor") or 0)
    page = [m.as_json(with_metadata) for m in found[at : at + limit]]
    next_one = str(at + limit) if len(found) > at + limit else ""
    return {"messages": page, "has_more": bool(next_one), "response_metadata": {"next_cursor": next_one}}


def _kept(said: Json) -> Json:
    return {name: said[name] for name in ("blocks", "metadata", "thread_ts") if name in said}
