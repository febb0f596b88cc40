"""The space and the person of this machine: who uses the terminal and the local web chat."""

from bot.core.messages import Request

SPACE, USER = "local", "you"
PERSON = Request(space=SPACE, user=USER, command="")  # whose page it is
