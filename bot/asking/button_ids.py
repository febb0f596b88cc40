"""Buttons as short texts that say it all, so that any process can act on any message, for ever.

Chats give a button room for about a hundred characters. What fits is spelt out, `imagine?count=4&prompt=a+dog`;
what does not is kept in the store under its hash. The question to ask first stands last, after another `?`.
"""

import hashlib
from urllib.parse import parse_qsl, urlencode

from bot.commands import COMMANDS
from bot.messages import Button
from storage.errors import Missing
from storage.files import Store

ROOM = 100  # characters
FORM = "+"  # before the command of a button that opens a form
KEPT = "#"


async def write(store: Store, button: Button) -> str:
    """Return the id of a button, of at most 100 characters."""
    asks = f"?{button.confirm}" if button.confirm else ""
    text = f"{FORM * button.form}{button.command}?{urlencode(button.arguments)}{asks}"
    if len(text) <= ROOM:
        return text
    key = _key(hashlib.sha256(text.encode()).hexdigest())
    await store.put(key, text.encode())
    return KEPT + key.removeprefix("buttons/")


async def read(store: Store, button_id: str) -> Button | None:
    """Return the button of an id, without its looks; None if the id is nothing of ours."""
    if button_id.startswith(KEPT):
        try:
            button_id = (await store.get(_key(button_id.removeprefix(KEPT)))).data.decode()
        except Missing:
            return None
    name, _, rest = button_id.removeprefix(FORM).partition("?")
    if name not in COMMANDS:
        return None
    arguments, _, confirm = rest.partition("?")  # urlencode leaves no ? in arguments
    form = button_id.startswith(FORM)
    return Button(label=name, command=name, arguments=dict(parse_qsl(arguments)), form=form, confirm=confirm)


def _key(digest: str) -> str:
    return f"buttons/{digest[:40]}"
