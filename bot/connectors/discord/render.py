"""Replies as Discord messages: text that rings nobody, facts as an embed, buttons in rows or menus."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import discord
from discord.utils import escape_markdown

from bot.commands import button_ids
from bot.core.messages import Button, Reply
from bot.delivery.citations import marked_up, split_message
from bot.delivery.sparkline import loss_summary
from storage.contract.progress import Progress
from storage.objects.store import Store
from storage.text import shorten

TEXT, NAME, VALUE, EMBED = 2000, 256, 1024, 5800  # characters at most; an embed may have 6000 with all its parts
FIELDS, ROW, ROWS, OPTIONS = 25, 5, 5, 25
LOOSE = 15  # buttons of no group that get rows of their own; more go into a menu
BAR = 12
CALLS = re.compile(r"[<@]|:(?=//)")
SHORT_NAME, SHORT_VALUE = 15, 40  # characters: settings stand side by side, lists below each other
STYLES = {
    "plain": discord.ButtonStyle.secondary,
    "primary": discord.ButtonStyle.primary,
    "danger": discord.ButtonStyle.danger,
}


@dataclass(frozen=True)
class Rendered:
    """What a message says, but for its pictures."""

    content: str
    embeds: list[discord.Embed]
    view: discord.ui.View | None


async def render(store: Store, reply: Reply, mention: str = "", place: str = "") -> Rendered:
    """Say a reply as a message; long button ids are kept in the store.

    `mention` is the id of a person to be rung, `place` what stands for the words that mean the reply's place.
    """
    now = reply.progress
    lines = [plain(reply.text), bar(now) if now and now.of else "", loss_summary(now) if now else ""]
    # Sixty characters are left for a mention before it and for the name of a place.
    content = reply.with_place_name(shorten("\n".join(filter(None, lines)), TEXT - 60), place)
    if reply.rendered or is_marked_up(reply):
        first, *rest = [reply.rendered] if reply.rendered else pages(reply)
        content = f"{first}\n…" if rest else first  # what is final is said in several messages
    facts = reply.open_facts
    named = {name: reply.with_place_name(plain(value), place) for name, value in facts.items()}
    embeds = [_embed(named)] if facts else []
    if embeds and (more := len(facts) - len(embeds[0].fields)):
        embeds[0].set_footer(text=f"… and {more} more")
    return Rendered(
        content=f"<@{mention}> {content}" if mention else content,
        embeds=embeds,
        view=await controls(store, list(rows(reply))[:ROWS]),
    )


def is_marked_up(reply: Reply) -> bool:
    """Whether a reply's text is more than words to be shown as they are."""
    return reply.is_markdown or bool(reply.links)


def pages(reply: Reply) -> list[str]:
    """A reply's text in Discord's markup, in pieces for a message each; no link or marker is cut."""
    escape = without_calls if reply.is_markdown else plain
    return split_message(marked_up(reply.text, reply.links, "discord", escape), TEXT - 60)


def without_calls(text: str) -> str:
    r"""Text whose emphasis, lists and code mean something, and which rings nobody and links nowhere.

    >>> without_calls("**rex** @everyone") == "**rex** @\u200beveryone"
    True
    """
    return CALLS.sub("\\g<0>\u200b", text)


def plain(text: str) -> str:
    r"""Make Discord show a text as it is: no markup, no mention, no link.

    >>> plain("*rex* @everyone") == "\\*rex\\* @\u200beveryone"
    True
    """
    # A zero-width space takes the meaning from <@user>, <#channel>, @everyone and https://.
    return CALLS.sub("\\g<0>\u200b", escape_markdown(text, ignore_links=False))


def bar(progress: Progress) -> str:
    """Draw how far a job is.

    >>> bar(Progress(job="x", phase="learning", step=300, of=400))
    '▰▰▰▰▰▰▰▰▰▱▱▱ 75 %'
    """
    done = min(1.0, progress.step / progress.of)
    full = round(done * BAR)
    return f"{'▰' * full}{'▱' * (BAR - full)} {done:.0%}".replace("%", " %")


def _embed(facts: dict[str, str]) -> discord.Embed:
    """As many facts as fit; their values are marked up already."""
    embed = discord.Embed()
    for name, value in list(facts.items())[:FIELDS]:
        name, value = shorten(plain(name) or "–", NAME), shorten(value or "–", VALUE)
        if len(embed) + len(name) + len(value) > EMBED:
            break
        embed.add_field(name=name, value=value, inline=len(name) <= SHORT_NAME and len(value) <= SHORT_VALUE)
    return embed


def rows(reply: Reply) -> Iterator[Sequence[Button]]:
    """The buttons of a reply as they stand together; more than five in a row are to become a menu."""
    groups = [list(group) for name, group in groupby(reply.picks, key=lambda pick: pick.group) if name]
    loose = reply.loose  # Discord takes no two buttons that do the same
    yield from [loose] if len(loose) > LOOSE else (loose[at : at + ROW] for at in range(0, len(loose), ROW))
    yield from groups


async def controls(store: Store, rows: Sequence[Sequence[Button]]) -> discord.ui.View | None:
    """Buttons and menus; None if there are none."""
    if not rows:
        return None
    view = discord.ui.View(timeout=None)
    for number, row in enumerate(rows):
        if len(row) <= ROW:
            for button in row:
                view.add_item(await _button(store, button, number))
        else:
            view.add_item(await _menu(store, row, number))
    # A view that is stopped only describes: clicks are not bound to this process, but read from their ids.
    view.stop()
    return view


async def _button(store: Store, button: Button, row: int) -> discord.ui.Button[discord.ui.View]:
    custom_id = await button_ids.write(store, button)
    return discord.ui.Button(label=button.label[:80], custom_id=custom_id, style=STYLES[button.style], row=row)


async def _menu(store: Store, buttons: Sequence[Button], row: int) -> discord.ui.Select[discord.ui.View]:
    options = [
        discord.SelectOption(label=button.label[:100], value=await button_ids.write(store, button))
        for button in buttons[:OPTIONS]
    ]
    what = buttons[0].group or "Choose"
    return discord.ui.Select(custom_id=f"menu {row}", placeholder=what, options=options, row=row)
