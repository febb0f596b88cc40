"""Buttons as short texts that say it all, so that any process can act on any message, for ever.

Chats give a button room for about a hundred characters. What fits is spelt out, `imagine?count=4&prompt=a+dog`;
what does not is kept in the store, under its hash beside the job or subject that it belongs to, and goes with that.
What belongs to none, a form that somebody is filling in, lasts a day. The question to ask first stands last, after
another `?`.
"""

import hashlib
import re
import time
from urllib.parse import parse_qsl, urlencode

from bot.commands.registry import COMMANDS
from bot.core.messages import Button
from storage.errors import Missing
from storage.ids import is_id, made_s, new_id
from storage.objects.store import Store

ROOM = 100  # characters
FORM = "+"  # before the command of a button that opens a form
KEPT = re.compile(r"#(?P<home>(jobs|subjects)/[0-9a-f]{20}(?=/))?/?(?P<name>[0-9a-f]{20,40})")
LOOSE = "buttons/"  # those that belong to nothing
LOOSE_S = 24 * 3600


async def write(store: Store, button: Button) -> str:
    """Return the id of a button, of at most 100 characters."""
    asks = f"?{button.confirm}" if button.confirm else ""
    text = f"{FORM * button.form}{button.command}?{urlencode(button.arguments)}{asks}"
    if len(text) <= ROOM:
        return text
    home = _home(button)
    name = hashlib.sha256(text.encode()).hexdigest()[:40] if home else new_id()
    await store.put(_key(home, name), text.encode())
    return f"#{home}/{name}" if home else f"#{name}"


async def read(store: Store, button_id: str) -> Button | None:
    """Return the button of an id, without its looks; None if it is nothing of ours, or of something that is gone."""
    home = ""
    if button_id.startswith("#"):
        if not (match := KEPT.fullmatch(button_id)):
            return None
        home = match["home"] or ""
        try:
            button_id = (await store.get(_key(home, match["name"]))).data.decode(errors="replace")
        except Missing:
            return None
    name, _, rest = button_id.removeprefix(FORM).partition("?")
    if name not in COMMANDS:
        return None
    arguments, _, confirm = rest.partition("?")  # urlencode leaves no ? in arguments
    form = button_id.startswith(FORM)
    return Button(label=name, command=name, arguments=dict(parse_qsl(arguments)), form=form, confirm=confirm, home=home)


async def sweep(store: Store) -> None:
    """Delete what belongs to nothing and is more than a day old."""
    for key in await store.names(LOOSE):
        name = key.removeprefix(LOOSE)
        if not is_id(name) or time.time() - made_s(name) > LOOSE_S:
            await store.delete(key)


def _home(button: Button) -> str:
    job = button.arguments.get("job", "")
    return button.home or (f"jobs/{job}" if is_id(job) else "")


def _key(home: str, name: str) -> str:
    return f"{home}/button-{name}" if home else f"{LOOSE}{name}"
