"""What people do: type commands, press buttons, fill in forms. As their clients allow it, and no more."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.servers.discord.files import File
from tests.servers.discord.server import Server
from tests.servers.discord.world import Channel, Interaction, Json, Message

COMMAND, COMPONENT, AUTOCOMPLETE, SUBMIT = 2, 3, 4, 5
SUBCOMMAND, STRING, INTEGER, BOOLEAN, USER, ROLE, NUMBER, ATTACHMENT = 1, 3, 4, 5, 6, 8, 10, 11
BUTTON, MENU, TEXT, ROLES, LABEL, UPLOAD = 2, 3, 4, 6, 18, 19


class Discord(Server):
    """The server with its people."""

    async def slash(
        self, command: str, *, who: str = "ada", where: Channel | None = None, **options: Any
    ) -> Interaction:
        """Type a slash command; options that take files are given a `File`."""
        name, _, sub = command.partition(" ")
        registered = self._registered(name, 1)
        declared = registered
        if sub:
            declared = next(o for o in registered["options"] if o["type"] == SUBCOMMAND and o["name"] == sub)
        resolved: Json = {}
        given = [self._option(declared, n.rstrip("_"), value, resolved) for n, value in options.items()]
        missing = {o["name"] for o in declared.get("options", []) if o.get("required")} - {g["name"] for g in given}
        assert not missing, f"{command} needs {missing}"
        data = {"id": registered["id"], "name": name, "type": 1, "resolved": resolved}
        data["options"] = [{"name": sub, "type": SUBCOMMAND, "options": given}] if sub else given
        return await self.interact(Interaction(self.people[who], where or self.general, COMMAND, data))

    async def complete(self, command: str, option: str, typed: str, *, who: str = "ada") -> list[str]:
        """Type into an option that completes; return what is offered."""
        name, _, sub = command.partition(" ")
        focused = [{"name": option, "type": STRING, "value": typed, "focused": True}]
        options = [{"name": sub, "type": SUBCOMMAND, "options": focused}] if sub else focused
        data = {"id": self._registered(name, 1)["id"], "name": name, "type": 1, "options": options}
        interaction = await self.interact(Interaction(self.people[who], self.general, AUTOCOMPLETE, data))
        return [choice["value"] for choice in interaction.response["choices"]]

    async def message_menu(self, name: str, message: Message, *, who: str = "ada") -> Interaction:
        """Choose a command from the menu of a message."""
        data = {
            "id": self._registered(name, 3)["id"], "name": name, "type": 3, "target_id": message.id,
            "resolved": {"messages": {message.id: message.json()}},
        }  # fmt: skip
        return await self.interact(Interaction(self.people[who], message.channel, COMMAND, data))

    async def press(self, message: Message, label: str, *, who: str = "ada") -> Interaction:
        """Press the button with a label, or choose the entry with that label from a menu."""
        assert not message.deleted and message.for_person in ("", self.people[who].id), "not seen"
        for control in message.controls:
            values = [o["value"] for o in control.get("options", []) if o["label"] == label]
            if control["type"] == BUTTON and control["label"] == label and not control.get("disabled"):
                return await self._component(message, control, {}, who)
            if values:
                return await self._component(message, control, {"values": values}, who)
        raise AssertionError(f"no {label} among {message.labels} under {message.text!r}")

    async def _component(self, message: Message, control: Json, values: Json, who: str) -> Interaction:
        data = {"custom_id": control["custom_id"], "component_type": control["type"], **values}
        return await self.interact(Interaction(self.people[who], message.channel, COMPONENT, data, source=message))

    async def submit(self, form: Interaction, *, files: Sequence[File] = (), **values: Any) -> Interaction:
        """Send a form that an interaction opened; what is not given stays as the form has it."""
        assert form.answer == 9, f"no form but {form.answer}"
        resolved: Json = {}
        components = []
        for number, label in enumerate(form.response["components"]):
            component = label["component"]
            assert component["type"] in (TEXT, MENU, ROLES, UPLOAD), component
            filled = self._filled(component, values, files, resolved)
            components.append({"type": LABEL, "id": number, "component": {**filled, "id": number + 100}})
        unknown = set(values) - {label["component"]["custom_id"] for label in form.response["components"]}
        assert not unknown, f"no field {unknown}"
        data = {"custom_id": form.response["custom_id"], "components": components, "resolved": resolved}
        return await self.interact(Interaction(form.person, form.channel, SUBMIT, data, source=form.source))

    def _filled(self, component: Json, values: Json, files: Sequence[File], resolved: Json) -> Json:
        name = component["custom_id"]
        if component["type"] == UPLOAD:
            assert component.get("min_values", 1) <= len(files) <= component.get("max_values", 1), "number of files"
            ids = [self._attach(file, resolved) for file in files]
            return {"type": UPLOAD, "custom_id": name, "values": ids}
        if component["type"] in (MENU, ROLES):
            chosen = [o["value"] for o in component.get("options", []) if o.get("default")]
            chosen = [values[name]] if name in values else chosen
            return {"type": component["type"], "custom_id": name, "values": chosen}
        text = str(values.get(name, component.get("value") or ""))
        assert text or not component.get("required", True), f"{name} is required"
        assert len(text) <= component.get("max_length", 4000), f"{name} is too long"
        return {"type": TEXT, "custom_id": name, "value": text}

    async def interact(self, interaction: Interaction) -> Interaction:
        """Send an interaction and wait for its first response."""
        await self.send(interaction)
        await self.until(lambda: interaction.answer is not None, within_s=180)
        return interaction

    async def send(self, interaction: Interaction) -> None:
        """Send an interaction; a second time is a redelivery."""
        if interaction.token not in self.interactions:
            interaction.sent_s = time.monotonic()
        self.interactions[interaction.token] = interaction
        await self.gateway.dispatch("INTERACTION_CREATE", interaction.json(), interaction.channel.guild)

    def expire_tokens(self) -> None:
        """Let fifteen minutes pass for all tokens that there are."""
        for interaction in self.interactions.values():
            interaction.expired = True

    def post(self, who: str, text: str, *files: File, where: Channel | None = None) -> Message:
        """Post a message of a person, with files."""
        channel = where or self.general
        attachments = [self.cdn.add(file, channel.id) for file in files]
        return self.add(Message(channel, self.people[who].user(), content=text, attachments=attachments))

    async def reply(self, to: Message, text: str, *, who: str = "ada", ping: bool = True) -> Message:
        """Reply to a message, which pings its author unless a person switches that off."""
        person = self.people[who]
        reference = {"type": 0, "message_id": to.id, "channel_id": to.channel.id, "guild_id": to.channel.guild}
        message = self.add(Message(to.channel, person.user(), content=text, reference=reference))
        described = message.json() | {"mentions": [to.author] if ping else [], "referenced_message": to.json()}
        if to.channel.guild:
            member = {key: value for key, value in person.member().items() if key not in ("user", "permissions")}
            described |= {"guild_id": to.channel.guild, "member": member}
        await self.gateway.message(described, to.channel.guild)
        return message

    async def until(self, true: Callable[[], Any], within_s: float = 120) -> Any:
        """Wait until something is so, and return what it is."""
        end_s = time.monotonic() + within_s
        while not (value := true()):
            assert not self.violations, "\n".join(self.violations)
            assert time.monotonic() < end_s, f"not within {within_s} s; messages: {self.said()}"
            await asyncio.sleep(0.01)
        return value

    def said(self) -> list[tuple[str, list[str]]]:
        """All that the messages say now, with their buttons, for reports."""
        return [(m.text, m.labels) for m in self.messages.values() if not m.deleted]

    def private(self, who: str = "ada") -> list[Message]:
        """What only one person sees: ephemeral messages and private ones, oldest first."""
        person = self.people[who]
        there = (m for m in self.messages.values() if not m.deleted)
        return [m for m in there if m.for_person == person.id or m.channel.recipient is person]

    def _registered(self, name: str, kind: int) -> Json:
        for command in self.commands:
            if (command["name"], command["type"]) == (name, kind):
                return command
        raise AssertionError(f"{name} is not registered")

    def _option(self, declared: Json, name: str, value: Any, resolved: Json) -> Json:
        """Give an option as Discord's client would: only what is declared, within its limits."""
        option = next((o for o in declared["options"] if o["name"] == name), None)
        assert option, f"no option {name}"
        if option["type"] == ATTACHMENT:
            value = self._attach(value, resolved)
        elif option["type"] == STRING:
            assert len(value) <= option.get("max_length", 6000), f"{name} is too long"
            assert not option.get("choices") or value in [c["value"] for c in option["choices"]], f"{name}={value}"
        elif option["type"] in (INTEGER, NUMBER):
            assert option.get("min_value", value) <= value <= option.get("max_value", value), f"{name}={value}"
        return {"name": name, "type": option["type"], "value": value}

    def _attach(self, file: File, resolved: Json) -> str:
        described = self.cdn.add(file)
        resolved.setdefault("attachments", {})[described["id"]] = described
        return str(described["id"])


@asynccontextmanager
async def discord_server(shards: int = 1) -> AsyncIterator[Discord]:
    """Run a server; at the end, everything that the bot did wrong fails the test."""
    server = Discord(shards)
    await server.start()
    try:
        yield server
        server.check()
    finally:
        await server.stop()
