"""What cannot be undone is asked about first: the one place that decides whether a question comes before it."""

from bot.core.messages import Button, Reply, Request


def question(request: Request, button: Button) -> Reply | None:
    """What the button would ask, for who has typed what it does; None once that was answered with yes."""
    if request.confirmed:
        return None
    return Reply(text=button.confirm, buttons=(button.model_copy(update={"confirm": ""}),), question=True)
