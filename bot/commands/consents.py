"""Consent of whoever posted photos that somebody else wants to train on: asked for in the channel, with buttons.

`consents/<id>.json` keeps what was asked for, for a day. The photos are not fetched before their author agrees.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pydantic import ValidationError

from bot.arguments.arguments import ConsentArguments, TrainArguments
from bot.arguments.validation import check
from bot.commands.command import command
from bot.commands.train import train
from bot.core import policy
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Button, PlaceMention, Reply, Request
from storage.contract.base import Stored
from storage.errors import Missing, UserError
from storage.ids import is_id, made_s, new_id
from storage.objects.store import Store

CONSENTS = "consents/"
KEPT_S = 24 * 3600
ASKER = "the person who asks"
QUESTION = (
    "Photos of your message are asked for: {asker} would like to train {name}, a {noun}, on them. "
    "They are not read unless you allow it; whoever may draw {name} could then draw what is in them."
)
NOT_YOURS = "Only the person who posted these photos, or a moderator, can say whether they may be used."
OVER = "That question was answered already, or is more than a day old."


class Consent(Stored):
    """A training that waits for the author of its photos."""

    id: str
    author: str  # of the message; empty where it is no person's
    request: Request  # of who wants to train
    photos: tuple[dict[str, str | int], ...]  # the photos of the message, as the chat's front end finds them again


def needed(request: Request, author: str) -> bool:
    """Whether the author of photos has to be asked: not of one's own, nor by those who moderate there."""
    return not policy.may_allow(author, request.actor)


async def ask(bot: CommandContext, request: Request, author: str, photos: Sequence[Mapping[str, str | int]]) -> Reply:
    """Keep what was asked for; return the question to its author, who is called by it.

    Raises UserError for arguments that are wrong, and for who asks too fast.
    """
    given = check(TrainArguments, request.arguments)
    await bot.limits.pace(request)
    consent = Consent(id=new_id(), author=author, request=request, photos=tuple(map(dict, photos)))
    await bot.store.put(_key(consent.id), consent.model_dump_json().encode())
    buttons = (
        Button(label="Allow", command="consent allow", arguments={"consent": consent.id}, style="primary"),
        Button(label="Refuse", command="consent refuse", arguments={"consent": consent.id}, style="danger"),
    )
    text = QUESTION.format(asker=ASKER, name=given.name, noun=given.noun)
    return Reply(text=text, buttons=buttons, place=PlaceMention(kind="person", id=request.user, words=ASKER))


async def answered_by(bot: CommandContext, request: Request, consent_id: str) -> Consent:
    """The consent that a person gives or refuses; raises UserError unless they are the author, or moderate there."""
    consent = await _read(bot.store, consent_id)
    if consent.request.space != request.space or not policy.may_allow(consent.author, request.actor):
        raise UserError(NOT_YOURS)
    return consent


def approved_request(consent: Consent, request: Request) -> Request:
    """The request of who wants to train, under the id of the `request` by which the author has agreed."""
    update = {"id": request.id, "command": "consent allow", "arguments": request.arguments, "granted": consent.id}
    return consent.request.model_copy(update=update)


@command("consent allow", "Let photos be used.", "in place", takes_photos=True, hidden=True)
async def allow(bot: CommandContext, request: Request, given: ConsentArguments) -> ReplyStream:
    """Train on the photos, now that their author has agreed, for the person who asked."""
    # The front end sets it once it has seen who pressed; a command that is typed has none.
    if request.granted != given.consent:
        raise UserError(NOT_YOURS)
    consent = await _read(bot.store, given.consent)
    asked = request.model_copy(update={"command": consent.request.command, "arguments": consent.request.arguments})
    async for reply in train.answer(bot, asked, check(TrainArguments, asked.arguments)):
        if reply.job or reply.question:
            await bot.store.delete(_key(consent.id))
        yield reply


@command("consent refuse", "Leave photos alone.", "in place", hidden=True)
async def refuse(bot: CommandContext, request: Request, given: ConsentArguments) -> ReplyStream:
    """Leave the photos alone; the person who asked may take the question back, too."""
    consent = await _read(bot.store, given.consent)
    if request.user != consent.request.user:
        await answered_by(bot, request, given.consent)
    await bot.store.delete(_key(consent.id))
    yield Reply(text="The photos were not used.")


async def forget(store: Store, actor: policy.Actor) -> None:
    """Delete the questions that a person asked, and those that they were asked."""
    for name in await store.names(CONSENTS):
        with suppress(Missing, ValidationError):  # those that cannot be read are deleted after a day, as all are
            consent = Consent.model_validate_json((await store.get(name)).data)
            people = (consent.request.user, consent.author)
            if any(policy.made_by(actor, consent.request.space, person) for person in people):
                await store.delete(name)


async def sweep(store: Store) -> None:
    """Delete the questions that nobody answered within a day."""
    for name in await store.names(CONSENTS):
        if _is_old(name.removeprefix(CONSENTS).removesuffix(".json")):
            await store.delete(name)


async def _read(store: Store, consent_id: str) -> Consent:
    if not _is_old(consent_id):
        with suppress(Missing, ValidationError):
            return Consent.model_validate_json((await store.get(_key(consent_id))).data)
    raise UserError(OVER)


def _is_old(consent_id: str) -> bool:
    return not is_id(consent_id) or time.time() - made_s(consent_id) > KEPT_S


def _key(consent: str) -> str:
    return f"{CONSENTS}{consent}.json"
