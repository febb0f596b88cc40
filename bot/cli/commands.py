"""The commands of `darkroom`. Each imports what it needs when it runs, so that help comes at once."""

import gc
import io
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from bot.arguments.arguments import ImagineArguments, TrainArguments
from bot.arguments.ask_arguments import AskArguments
from bot.cli import eval_command, file_commands, subject_commands
from bot.cli.options import LISTS, OUT, PICTURES, QUESTIONS, AsJson, Given, Out, options_of
from storage import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Learn a subject from a few photos, then draw it anywhere. Commands start the processes they need and stop "
    "them again; if `darkroom up` or `darkroom demo` is running, they use that.",
)
app.add_typer(subject_commands.app)
app.add_typer(file_commands.app)
app.add_typer(eval_command.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"darkroom {__version__}")
        raise typer.Exit


ON_ONE_MACHINE, UPKEEP = "On this machine", "Upkeep"


@app.command(rich_help_panel=ON_ONE_MACHINE)
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Train and draw with sample photos in the terminal, then exit.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the pictures of --once.")] = Path("darkroom-demo"),
    as_json: AsJson = False,
) -> int:
    """Run everything on this machine: queue, worker and web chat."""
    if once:
        from bot.connectors.terminal import demo as journey
        from bot.connectors.terminal.connector import run

        return run(lambda session: journey.run_demo(session, out), as_json)
    from bot.cli import services

    return services.run(services.demo)


@app.command(rich_help_panel=ON_ONE_MACHINE)
def up(
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Start no worker; workers run elsewhere.")] = False,
) -> int:
    """Run everything that is configured: web chat, Discord, Slack, and a queue and a worker if none runs."""
    from bot.cli import services

    return services.run(services.up_without_worker if no_worker else services.up)


@app.command(rich_help_panel=ON_ONE_MACHINE)
def web() -> int:
    """Run the web chat alone."""
    from bot.cli import services

    return services.run(services.web)


@app.command(rich_help_panel=ON_ONE_MACHINE)
def discord() -> int:
    """Run the Discord bot alone."""
    from bot.cli import services

    return services.run(services.discord)


@app.command(rich_help_panel=ON_ONE_MACHINE)
def slack(
    manifest: Annotated[bool, typer.Option("--manifest", help="Print the app manifest, and exit.")] = False,
    url: Annotated[str | None, typer.Option(help="With --manifest: public URL for requests over HTTP.")] = None,
) -> int:
    """Run the Slack bot alone."""
    if manifest:
        from bot.connectors.slack import setup as slack_setup

        typer.echo(slack_setup.manifest_text(url))
        return 0
    from bot.cli import services

    return services.run(services.slack)


@app.command(rich_help_panel=ON_ONE_MACHINE)
def worker(
    queues: Annotated[str, typer.Option(help="Queues to serve, separated by commas.")] = "train,imagine",
) -> int:
    """Run a worker; needs the trainer package."""
    from bot.cli import services

    return services.run_worker(queues)


@app.command(rich_help_panel=PICTURES)
@options_of(TrainArguments)
def train(
    given: Given,
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO…", help="Photos of it, or folders of them.")
    ] = None,
    together: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Train several subjects together; docs/recipes.md describes the file."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Train a subject from photos (DreamBooth)."""
    from bot.connectors.terminal import connector

    if together:
        from bot.experiments import multi_subject_file

        return connector.run(lambda session: multi_subject_file.train(session, together, photos or [], given), as_json)
    return connector.run(lambda session: connector.train(session, photos or [], given), as_json)


@app.command(rich_help_panel=QUESTIONS)
@options_of(AskArguments, positional="question")
def ask(given: Given, as_json: AsJson = False) -> int:
    """Answer a question with sources: from the web if a search is set up, else from documents and Darkroom's docs."""
    from bot.connectors.terminal import connector

    return connector.run(lambda session: connector.ask(session, given), as_json)


@app.command("documents-add", rich_help_panel=QUESTIONS)
def add_documents(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="PDF, HTML, Markdown or text, or folders.")],
    as_json: AsJson = False,
) -> int:
    """Add documents that questions are answered from."""
    from bot.connectors.terminal import connector

    return connector.run(lambda session: connector.add_documents(session, files), as_json)


@app.command(rich_help_panel=PICTURES)
@options_of(ImagineArguments, positional="prompt")
def imagine(
    given: Given,
    out: Out = OUT,
    as_json: AsJson = False,
) -> int:
    """Draw pictures; [name] in the prompt stands for a subject."""
    from bot.connectors.terminal import connector

    return connector.run(lambda session: connector.draw(session, "imagine", given, out), as_json)


@app.command(rich_help_panel=LISTS)
def subjects(as_json: AsJson = False) -> int:
    """List the subjects."""
    from bot.connectors.terminal import connector

    return connector.run(connector.subjects, as_json)


@app.command(rich_help_panel=LISTS)
def jobs(as_json: AsJson = False) -> int:
    """List the jobs, newest first."""
    from bot.connectors.terminal import connector

    return connector.run(connector.jobs, as_json)


@app.command(rich_help_panel=LISTS)
def status(as_json: AsJson = False) -> int:
    """Show what runs, what waits, and the workers."""
    from bot.connectors.terminal import connector

    return connector.run(connector.status, as_json)


@app.command(rich_help_panel=UPKEEP)
def doctor(as_json: AsJson = False) -> int:
    """Check the setup, and say how to fix what is wrong."""
    from bot.cli import doctor as checks

    return checks.run(as_json)


@app.command(rich_help_panel=UPKEEP)
def repair(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List damaged objects, and change nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Find damaged objects in the store, repair what can be repaired, and rebuild indexes."""
    from bot.cli import repair as repairs

    return repairs.run(dry_run, as_json)


@app.command(rich_help_panel=UPKEEP)
def prune(
    older: Annotated[float, typer.Option(metavar="DAYS", help="Minimum age of a job, in days.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    as_json: AsJson = False,
) -> int:
    """Delete old finished jobs and their pictures; subjects and their trainings are kept."""
    from bot.cli import prune as pruning
    from bot.connectors.terminal import connector

    return connector.run_alone(lambda: pruning.result(older, dry_run), as_json)


@app.command(rich_help_panel=LISTS)
def recipe(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A subject, to print the recipe it was trained with.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="full or lora.")] = None,
    preset: Annotated[str | None, typer.Option("--recipe", help="Recipe preset.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Overrides of recipe fields, like batch=2 rank=32.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print the recipe of a new training, or of a subject: each hyperparameter, its meaning, its source."""
    from bot.cli import recipe_table
    from bot.connectors.terminal import connector

    asked = recipe_table.RecipeQuery(method, preset, " ".join(changes or []))
    return connector.run_alone(lambda: recipe_table.result(name, asked), as_json)


@app.command(rich_help_panel=PICTURES)
def sweep(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="TOML file with subjects, grid and prompts; docs/recipes.md describes it."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the table and the contact sheet.")] = Path("darkroom-sweep"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the trained subjects, in a space of their own.")] = False,
    as_json: AsJson = False,
) -> int:
    """Run a hyperparameter sweep: train subjects with a grid of recipes, and compare them."""
    from bot.connectors.terminal import connector
    from bot.experiments import sweep as sweeps

    return connector.run(lambda session: sweeps.run_sweep(session, file, out, keep), as_json, unpaced=True)


@app.command(rich_help_panel=UPKEEP)
def settings(as_json: AsJson = False) -> int:
    """Print every setting with its meaning, value and default."""
    from bot.cli import settings_table
    from bot.connectors.terminal import connector

    return connector.run_alone(settings_table.result, as_json)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print it.")
    ] = False,
) -> None:
    """Take the options that come before a command; what they do, their callbacks have done."""


# What runs until it is stopped has a process of its own; other commands may run in forks of the command server.
SERVICES = {
    command.name or (command.callback and command.callback.__name__)
    for command in app.registered_commands
    if command.rich_help_panel == ON_ONE_MACHINE
}


def run(arguments: list[str]) -> int:
    """Run the command line in this process; return its exit status."""
    began_s = time.monotonic()
    gc.set_threshold(50_000)  # imports make many objects that stay: looking through them takes a tenth of a command
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 lacks some of our characters
    try:
        return app(arguments, prog_name="darkroom", standalone_mode=False) or 0
    except typer.TyperException as error:
        from bot.connectors.terminal.screen import USAGE, failure, print_result

        print_result(failure(error.format_message(), USAGE), "--json" in arguments, began_s)
        return USAGE
    except (typer.Abort, KeyboardInterrupt):
        return 130
