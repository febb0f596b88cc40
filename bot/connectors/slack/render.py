"""Replies as Slack's blocks: text, progress, facts, pictures, buttons."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import count, groupby
from typing import TypeVar

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    ImageBlock,
    InteractiveElement,
    MarkdownTextObject,
    Option,
    PlainTextObject,
    SectionBlock,
    StaticSelectElement,
    TextObject,
)
from slack_sdk.models.blocks.basic_components import SlackFile

from bot.commands import button_ids
from bot.connectors.slack.markup import clipped_escaped, escape, from_markdown, unformatted
from bot.core.messages import Button, Reply
from bot.delivery.citations import marked_up, split_message
from bot.delivery.sparkline import loss_summary
from storage.contract.outcomes import Picture
from storage.contract.progress import Progress
from storage.objects.store import Store
from storage.text import shorten

T = TypeVar("T")
PRESS = re.compile(r"^press\b")  # action ids of everything that can be pressed or chosen
TEXT_MAX, FACT_MAX, LABEL_MAX, ALT_MAX, QUESTION_MAX = 2900, 1900, 75, 1900, 300
FACTS, FACTS_IN_BLOCK, SHORT_FACT, IN_ROW, IN_MENU = 30, 10, 200, 5, 100
LOOSE = 20  # buttons of no group that get rows of their own; more go into a menu
BAR = 20  # characters
SECTIONS = 12  # of one text: a message takes fifty blocks


async def blocks(
    store: Store, reply: Reply, files: Mapping[str, str], mention: str = "", place: str = ""
) -> list[Block]:
    """Lay a reply out; `files` are Slack's ids of the uploaded pictures by key, and only those are shown.

    `place` is what stands for the words that mean the reply's place: a mention, or a name.
    """
    layout: list[Block] = [SectionBlock(text=text) for text in _texts(reply, mention, place)]
    if reply.progress and reply.progress.of:
        drawn = filter(None, [bar(reply.progress), loss_summary(reply.progress)])
        layout.append(ContextBlock(elements=[_text(line) for line in drawn]))
    layout += _facts(reply, place)
    if (more := len(reply.open_facts) - FACTS) > 0:
        layout.append(ContextBlock(elements=[_text(f"… and {more} more")]))
    # A block with a file that Slack does not have would make it refuse the whole message.
    layout += [_image(picture, reply, files[picture.key]) for picture in reply.shown if picture.key in files]
    return [*layout, *[row async for row in _rows(store, reply)]]


def fallback(reply: Reply, mention: str = "") -> str:
    """What notifications and screen readers say, without marks that these would read out."""
    return _greeting(mention) + clipped_escaped(escape(reply.text or "Done."), TEXT_MAX)


def bar(progress: Progress) -> str:
    """Progress as a bar of text.

    >>> bar(Progress(job="", phase="learning", step=30, of=120))
    '▓▓▓▓▓░░░░░░░░░░░░░░░ 25 %'
    """
    done = min(progress.step / progress.of, 1.0)
    return f"{'▓' * round(done * BAR):░<{BAR}} {done:.0%}".replace("%", " %")


def _texts(reply: Reply, mention: str, place: str) -> list[TextObject]:
    """What a reply says, in a section each: a long text with links in several, none of which cuts a link."""
    if not (reply.is_markdown or reply.links):
        return [_plain_section(reply, mention, place)]
    linked = marked_up(reply.text, reply.links, "slack", from_markdown if reply.is_markdown else unformatted)
    return [_text(part) for part in split_message(linked, TEXT_MAX)[:SECTIONS]]


def _plain_section(reply: Reply, mention: str, place: str) -> TextObject:
    """What a reply says: letter by letter, unless somebody is to be called or a place to be named in it."""
    text = reply.text or "Done."
    if mention or (place and reply.place):
        return _text(_greeting(mention) + reply.with_place_name(clipped_escaped(unformatted(text), TEXT_MAX), place))
    return PlainTextObject(text=clipped_escaped(escape(text), TEXT_MAX), emoji=False)


def _greeting(mention: str) -> str:
    return f"<@{mention}> " if mention else ""


def _text(text: str) -> MarkdownTextObject:
    """Text in which Slack looks for no names and addresses of its own accord."""
    return MarkdownTextObject(text=text, verbatim=True)


def _facts(reply: Reply, place: str) -> Iterator[SectionBlock]:
    """Facts two by two, a long one over the whole width."""
    facts = list(reply.open_facts.items())[:FACTS]
    for is_long, some in groupby(facts, key=lambda fact: len(fact[1]) > SHORT_FACT):
        texts = [_text(reply.with_place_name(_fact(name, value), place)) for name, value in some]
        if is_long:
            yield from (SectionBlock(text=fact) for fact in texts)
        else:
            yield from (SectionBlock(fields=lot) for lot in _in_lots(texts, FACTS_IN_BLOCK))


def _fact(name: str, value: str) -> str:
    return clipped_escaped(f"*{unformatted(shorten(name, LABEL_MAX))}*\n{unformatted(value or '—')}", FACT_MAX)


def _image(picture: Picture, reply: Reply, file: str) -> ImageBlock:
    return ImageBlock(slack_file=SlackFile(id=file), alt_text=shorten(picture.caption or reply.text, ALT_MAX))


async def _rows(store: Store, reply: Reply) -> AsyncIterator[ActionsBlock]:
    """Rows of buttons; what comes in greater numbers is a menu."""
    # Action ids must be unique in a message, or Slack refuses it.
    numbers = count()
    for some in [reply.loose] if len(reply.loose) > LOOSE else _in_lots(reply.loose, IN_ROW):
        yield ActionsBlock(elements=await _group(store, "Choose", some, numbers))
    for group, picks in groupby((pick for pick in reply.picks if pick.group), key=lambda pick: pick.group):
        yield ActionsBlock(elements=await _group(store, group, list(picks), numbers))


async def _group(store: Store, group: str, picks: Sequence[Button], numbers: Iterator[int]) -> list[InteractiveElement]:
    if len(picks) <= IN_ROW:
        return [await _button(store, pick, next(numbers)) for pick in picks]
    options = [
        Option(text=PlainTextObject(text=pick.label), value=await button_ids.write(store, pick))
        for pick in picks[:IN_MENU]
    ]
    ask = next((pick for pick in picks if pick.confirm), None)
    return [
        StaticSelectElement(
            action_id=f"press-{next(numbers)}",
            placeholder=f"{group} …",
            options=options,
            confirm=_question(ask.model_copy(update={"label": group})) if ask else None,
        )
    ]


async def _button(store: Store, button: Button, number: int) -> ButtonElement:
    """A button; its value says it all, its action id only tells it from its neighbours."""
    return ButtonElement(
        text=PlainTextObject(text=shorten(button.label, LABEL_MAX), emoji=False),
        action_id=f"press-{number}",
        value=await button_ids.write(store, button),
        style=None if button.style == "plain" else button.style,
        confirm=_question(button) if button.confirm else None,
    )


def _question(button: Button) -> ConfirmObject:
    return ConfirmObject(
        title=shorten(button.label, LABEL_MAX),
        text=PlainTextObject(text=shorten(button.confirm, QUESTION_MAX)),
        confirm=shorten(button.label, 30),
        deny="No",
        style="danger" if button.style == "danger" else None,
    )


def _in_lots(things: Sequence[T], size: int) -> list[Sequence[T]]:
    return [things[k : k + size] for k in range(0, len(things), size)]
