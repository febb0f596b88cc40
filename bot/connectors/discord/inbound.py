"""What somebody meant who typed a command, pressed a button, sent a form: found out here, answered elsewhere."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import discord

from bot.app import Darkroom
from bot.commands import button_ids, consents
from bot.commands.prefill import filled_form
from bot.commands.registry import COMMANDS
from bot.commands.train import photos_hint
from bot.connectors.discord.ack import ack_repeatedly, in_time, start_ack_deadline
from bot.connectors.discord.attachments import others_in, photos_in
from bot.connectors.discord.forms import hidden_values, modal, read_submission
from bot.connectors.discord.render import controls, plain
from bot.connectors.discord.request import closed_to, request_of
from bot.connectors.discord.responder import DiscordResponder, InboundCommand
from bot.connectors.discord.slash_commands import SLASH, TRAIN_MENU, AttachedFile, Json, focused_field, read_command
from bot.core import access
from bot.core.error_replies import error_reply
from bot.core.messages import Button
from bot.photos import captions
from bot.photos.declared_type import no_photos
from bot.photos.vetting import check_number
from storage.text import fold

log = logging.getLogger(__name__)

SUGGESTIONS = 25
UNSAID = (discord.HTTPException, discord.RateLimited)  # what nobody can be told of, for this was to tell them
SURE, PHOTOS, AUTHOR = "sure", "photos", "author"  # arguments of ours: a question answered, files found, whose
ALONG = (PHOTOS, AUTHOR)  # what goes along with a form, unseen
NO = "no"
OLD = "This button or form is no longer valid. Please use the command again."


class InteractionHandler:
    """The handler of interactions: commands, buttons, forms, completions."""

    def __init__(self, app: Darkroom, responder: DiscordResponder) -> None:
        self.app, self.responder = app, responder
        self._kinds = {
            discord.InteractionType.application_command: self._command,
            discord.InteractionType.component: self._press,
            discord.InteractionType.modal_submit: self._form,
        }

    async def handle(self, interaction: discord.Interaction) -> None:
        """Do what an interaction asks for. Never raises, but for cancellation."""
        start_ack_deadline(interaction)
        data: Json = dict(interaction.data or {})
        try:
            if interaction.type is discord.InteractionType.autocomplete:
                await self._complete(interaction, data)
            # Completions are not deduplicated: they change nothing, and come at every keystroke.
            elif (kind := self._kinds.get(interaction.type)) and await self.responder.first(interaction):
                await kind(interaction, data)
        except UNSAID as error:
            log.warning("could not answer an interaction of %s: %s", interaction.user.id, error)
        except Exception as error:
            await self._refuse(interaction, error_reply(error, str(data.get("name", "a button"))).text)

    async def _refuse(self, interaction: discord.Interaction, sentence: str) -> None:
        """Send the asker a refusal."""
        try:
            if interaction.response.is_done():
                await interaction.followup.send(plain(sentence), ephemeral=True)
            else:
                with ack_repeatedly(interaction):
                    await interaction.response.send_message(plain(sentence), ephemeral=True)
        except UNSAID as error:
            log.warning("%s could not be told: %s", interaction.user.id, error)

    async def _command(self, interaction: discord.Interaction, data: Json) -> None:
        if data["type"] != SLASH:
            return await self._train_menu(interaction, data)
        given = read_command(data)
        if given is None:
            return await self._refuse(interaction, OLD)
        inbound = InboundCommand(given.command, given.arguments, given.attached)
        # A question is the response itself, which must be there within three seconds, so nothing is deferred before it.
        if given.command.asks_first:
            return await self._ask_first(interaction, inbound)
        if given.command.takes_photos and not given.attached and not closed_to(interaction):
            return await self._open(interaction, inbound, photos=True)
        await self.responder.answer(interaction, inbound)

    async def _ask_first(self, interaction: discord.Interaction, inbound: InboundCommand) -> None:
        """Respond with the question that comes first, or say why not; what takes too long comes after a response."""
        try:
            async with in_time(interaction):
                request = request_of(interaction, inbound.command.name, inbound.arguments)
                reply = await self.app.last_reply(request)
        except TimeoutError:
            return await self.responder.answer(interaction, inbound)
        if not reply.question:
            return await self._refuse(interaction, reply.text)
        await self._confirm(interaction, reply.buttons[0].model_copy(update={"confirm": reply.text}))

    async def _train_menu(self, interaction: discord.Interaction, data: Json) -> None:
        """Train on the photos of a message: its links go along while a form asks for name and class."""
        if data["name"] != TRAIN_MENU:
            return await self._refuse(interaction, OLD)
        if sentence := closed_to(interaction):
            return await self._refuse(interaction, sentence)
        message = data["resolved"]["messages"][data["target_id"]]
        photos = photos_in(message)
        if not photos:
            return await self._refuse(interaction, no_photos(others_in(message)))
        # Before the form opens: nobody should fill it in for photos that are too many.
        check_number(len(photos), self.app.settings.photos_max)
        links = "\n".join(f"{photo.name} {photo.url}\t{captions.plain(photo.caption)}" for photo in photos)
        known = {PHOTOS: links, AUTHOR: message["author"]["id"]}
        if not interaction.guild_id and message["author"]["id"] == str(interaction.application_id):
            # Consent is asked of people only, and nobody but this person reads here.
            del known[AUTHOR]  # pictures that the bot drew for this person
        await self._open(interaction, InboundCommand(COMMANDS["dreambooth train"], known), photos=False)

    async def _press(self, interaction: discord.Interaction, data: Json) -> None:
        """Do what a button or an entry of a menu says, in whatever process it was written."""
        pressed = (data.get("values") or [data["custom_id"]])[0]
        # Not a command: the answer "no" changes nothing and need not be known to any process.
        if pressed == NO:
            with ack_repeatedly(interaction):
                await interaction.response.edit_message(content="Nothing was changed.", view=None)
            return
        button = await self._button(interaction, pressed)
        if button is None:
            return await self._refuse(interaction, OLD)
        arguments = dict(button.arguments)
        inbound = InboundCommand(
            COMMANDS[button.command],
            arguments,
            about=_message_of_button(interaction),
            sure=bool(arguments.pop(SURE, "")),
        )
        if button.confirm:
            await self._confirm(interaction, button)
        elif button.form and inbound.command.answers != "asker" and (sentence := closed_to(interaction)):
            await self._refuse(interaction, sentence)
        elif button.form:
            await self._open(interaction, inbound, photos=inbound.command.takes_photos)
        elif button.command == "consent allow":
            await self._allow(interaction, inbound)
        else:
            await self.responder.answer(interaction, inbound)

    async def _allow(self, interaction: discord.Interaction, inbound: InboundCommand) -> None:
        """Start a training whose photos' author consents; raises UserError for anybody else."""
        request = request_of(interaction, inbound.command.name, inbound.arguments)
        async with in_time(interaction):
            consent = await consents.answered_by(self.app, request, inbound.arguments["consent"])
        attached = tuple(AttachedFile.model_validate(photo) for photo in consent.photos)
        await self.responder.answer(interaction, replace(inbound, attached=attached, consent=consent))

    async def _button(self, interaction: discord.Interaction, custom_id: str) -> Button | None:
        """What a button or a form means; None if it is nothing of ours."""
        async with in_time(interaction):
            return await button_ids.read(self.app.store, custom_id)

    async def _confirm(self, interaction: discord.Interaction, button: Button) -> None:
        """Ask first, and only the one who pressed."""
        arguments = {**button.arguments, SURE: "yes"}
        yes = Button(label="Yes", command=button.command, arguments=arguments, style="danger", home=button.home)
        async with in_time(interaction):
            view = await controls(self.app.store, [[yes]])
        assert view
        view.add_item(discord.ui.Button(label="No", custom_id=NO, row=0))
        with ack_repeatedly(interaction):
            await interaction.response.send_message(plain(button.confirm), view=view, ephemeral=True)

    async def _open(self, interaction: discord.Interaction, inbound: InboundCommand, photos: bool) -> None:
        """Open a command's form, filled in with what is known."""
        known = {name: value for name, value in inbound.arguments.items() if name not in ALONG}
        request = request_of(interaction, inbound.command.name, known)
        async with in_time(interaction):
            form = await filled_form(self.app, request, inbound.command.name, known)
            # A modal shows five fields at most, so the rest travels in its id.
            unseen = {**hidden_values(form), **{n: v for n, v in inbound.arguments.items() if n in ALONG}}
            button = Button(label="Send", command=inbound.command.name, arguments=unseen, form=True)
            custom_id = await button_ids.write(self.app.store, button)
        with ack_repeatedly(interaction):
            await interaction.response.send_modal(modal(form, custom_id, photos, photos_hint(self.app.settings)))

    async def _form(self, interaction: discord.Interaction, data: Json) -> None:
        button = await self._button(interaction, data["custom_id"])
        if button is None:
            return await self._refuse(interaction, OLD)
        filled, attached = read_submission(data)
        arguments = {**button.arguments, **filled}
        attached += tuple(_links(arguments.pop(PHOTOS, "")))
        author = arguments.pop(AUTHOR, "")
        inbound = InboundCommand(COMMANDS[button.command], arguments, attached, about=_message_of_button(interaction))
        # Before the photos are downloaded: without consent nothing of them is to be here.
        if author and consents.needed(request_of(interaction, button.command, {}), author):
            if sentence := closed_to(interaction):
                return await self._refuse(interaction, sentence)
            return await self.responder.ask_author(interaction, inbound, author)
        await self.responder.answer(interaction, inbound)

    async def _complete(self, interaction: discord.Interaction, data: Json) -> None:
        """Offer what begins with, or else contains, what was typed; nothing when that takes too long."""
        options: Sequence[tuple[str, str]] = ()
        typed = ""
        try:
            if typed_in := focused_field(data):
                field, typed = typed_in
                async with in_time(interaction):
                    options = await self._options(interaction, field.suggest)
        except Exception as error:
            log.warning("nothing to suggest: %s", error)
        # Discord does not filter; it shows 25 choices at most, in the order in which they come.
        fitting = [f for f in options if fold(typed) in fold(f[1])]
        fitting.sort(key=lambda f: not fold(f[1]).startswith(fold(typed)))
        choices = [discord.app_commands.Choice(name=name[:100], value=value) for value, name in fitting[:SUGGESTIONS]]
        # Also after a failure, with nothing: without a response Discord shows an error while people type.
        await interaction.response.autocomplete(choices)

    async def _options(self, interaction: discord.Interaction, what: str) -> Sequence[tuple[str, str]]:
        """Subjects that this person may see here, or open jobs that they may stop: what is meant, and how it reads."""
        request = request_of(interaction, "", {})
        if what == "subjects":
            known = await access.visible_subjects(self.app, request, self.app.suggestions)
            return [(subject.name, subject.name) for subject in known]
        jobs = await access.stoppable(self.app, request, self.app.suggestions) if what == "jobs" else []
        return [(job, f"{job[-6:]} {prompt}") for job, prompt in jobs]


def _message_of_button(interaction: discord.Interaction) -> str:
    """The message that a button is about: for the answer to a question of ours, the one that it was asked on."""
    message = interaction.message
    if message is None:
        return ""
    origin = message.interaction_metadata
    asked_on = origin.interacted_message_id if origin and message.flags.ephemeral else None
    return str(asked_on or message.id)


def _links(text: str) -> list[AttachedFile]:
    links = []
    for line in text.splitlines():
        link, _, caption = line.partition("\t")
        name, _, url = link.rpartition(" ")
        links.append(AttachedFile(name=name, url=url, caption=caption))
    return links
