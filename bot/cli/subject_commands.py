"""The terminal's commands about what there is already: what buttons do elsewhere, a terminal does with words."""

import sys
from typing import Annotated

import typer

from bot.arguments.arguments import (
    Arguments,
    ChooseArguments,
    JobArguments,
    NoArguments,
    RetrainArguments,
    ShareArguments,
    SubjectArguments,
    TogetherArguments,
    VariationsArguments,
)
from bot.arguments.ask_arguments import DocumentArguments
from bot.arguments.source_arguments import SourceArguments
from bot.cli.options import LISTS, OUT, PICTURES, QUESTIONS, AsJson, Given, Out, options_of

app = typer.Typer()


def _offer(name: str, command: str, arguments: type[Arguments], about: str, panel: str) -> None:
    """Offer a command of the chats; the first of its arguments is taken without its name."""

    def run(given: Given, as_json: AsJson = False) -> int:
        # Imported here: help and completion come without loading the chat's libraries.
        from bot.connectors.terminal import connector

        return connector.run(lambda session: connector.plain(session, command, given), as_json)

    first = next(iter(arguments.model_fields))
    app.command(name, help=about, rich_help_panel=panel)(options_of(arguments, positional=first)(run))


@app.command(rich_help_panel=PICTURES)
@options_of(JobArguments, positional="job")
def again(given: Given, out: Out = OUT, as_json: AsJson = False) -> int:
    """Draw the same prompt again, with other seeds."""
    from bot.connectors.terminal import connector

    return connector.run(lambda session: connector.draw(session, "again", given, out), as_json)


@app.command(rich_help_panel=PICTURES)
@options_of(VariationsArguments, positional="job")
def variations(given: Given, out: Out = OUT, as_json: AsJson = False) -> int:
    """Draw variations of a picture: the same prompt, seeds near its own."""
    from bot.connectors.terminal import connector

    return connector.run(lambda session: connector.draw(session, "variations", given, out), as_json)


_offer("cancel", "dreambooth cancel", JobArguments, "Cancel a queued or running job.", PICTURES)
_offer(
    "show", "dreambooth show", SubjectArguments, "Show one subject: owner, recipe, report card, training log.", LISTS
)
_offer("details", "details", JobArguments, "Show the prompt, seeds and settings of pictures.", LISTS)
_offer("share", "dreambooth share", ShareArguments, "Share a subject: set who may draw it.", PICTURES)
_offer(
    "use", "dreambooth use", SourceArguments, "Draw a subject from its photos alone, or as it was learned.", PICTURES
)
_offer("choose", "choose", ChooseArguments, "Keep one of the candidates of a training.", PICTURES)
_offer("documents-remove", "documents remove", DocumentArguments, "Delete a document.", QUESTIONS)
_offer("retrain", "dreambooth retrain", RetrainArguments, "Train a subject again.", PICTURES)


@app.command(rich_help_panel=PICTURES)
@options_of(TogetherArguments, positional="names")
def together(
    given: Given,
    more: Annotated[list[str] | None, typer.Argument(metavar="…", help="Further subjects.")] = None,
    as_json: AsJson = False,
) -> int:
    """Train subjects together, so that one picture can show them all."""
    from bot.connectors.terminal import connector

    given["names"] = " ".join([given["names"] or "", *(more or [])])
    return connector.run(lambda session: connector.plain(session, "dreambooth together", given), as_json)


@app.command(rich_help_panel=QUESTIONS)
@options_of(NoArguments)
def documents(given: Given, as_json: AsJson = False) -> int:
    """List the documents that questions are answered from."""
    from bot.connectors.terminal import connector

    return connector.run(lambda session: connector.plain(session, "documents list", given), as_json)


@app.command("forget-me", rich_help_panel=PICTURES)
@options_of(NoArguments)
def forget_me(
    given: Given,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation; scripts are never asked.")] = False,
    as_json: AsJson = False,
) -> int:
    """Delete all data: every subject, photo, prompt and picture of this machine."""
    from bot.connectors.terminal import connector
    from bot.kinds.subject_buttons import FORGET_ALL

    # A script has no terminal to answer at, and would hang.
    if sys.stdin.isatty() and not yes and not as_json and not typer.confirm(FORGET_ALL):
        typer.echo("Nothing was changed.")
        return 0
    return connector.run(lambda session: connector.plain(session, "forget-me", given), as_json)


@app.command(rich_help_panel=PICTURES)
@options_of(SubjectArguments, positional="name")
def forget(
    given: Given,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation; scripts are never asked.")] = False,
    as_json: AsJson = False,
) -> int:
    """Delete a subject with its photos, weights and pictures."""
    from bot.connectors.terminal import connector
    from bot.kinds.subject_buttons import FORGET, FORGET_ALL

    asks = sys.stdin.isatty() and not yes and not as_json
    # Which of the two is meant is known only to the store, which is not opened before the question.
    question = f"{FORGET_ALL} (If a subject is called me, that one.)" if given["name"] == "me" else FORGET
    if asks and given["name"] and not typer.confirm(question.format(name=given["name"])):
        typer.echo("Nothing was changed.")
        return 0
    return connector.run(lambda session: connector.plain(session, "dreambooth forget", given), as_json)
