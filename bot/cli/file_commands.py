"""The terminal's commands that take subjects to other programs, and bring them from there."""

from pathlib import Path
from typing import Annotated

import typer

from bot.arguments.arguments import ExportArguments, ImportArguments, SubjectArguments
from bot.cli.options import AsJson, Given, options_of

FILES = "Export and import"

app = typer.Typer()


@app.command(rich_help_panel=FILES)
@options_of(ExportArguments, positional="name")
def export(
    given: Given,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("darkroom-exports"),
    as_json: AsJson = False,
) -> int:
    """Export a subject for other programs: diffusers, AUTOMATIC1111, ComfyUI."""
    from bot.cli import conversion
    from bot.connectors.terminal import connector

    return connector.run_alone(lambda: conversion.export(given, out), as_json)


@app.command("import", rich_help_panel=FILES)
@options_of(ImportArguments)
def import_(
    given: Given,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A LoRA or a checkpoint, or a diffusers folder.")],
    as_json: AsJson = False,
) -> int:
    """Import a LoRA or a checkpoint that was trained elsewhere, as a subject."""
    from bot.cli import conversion
    from bot.connectors.terminal import connector

    return connector.run_alone(lambda: conversion.import_(given, file), as_json)


@app.command(rich_help_panel=FILES)
@options_of(SubjectArguments, positional="name")
def logs(
    given: Given,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("darkroom-logs"),
    as_json: AsJson = False,
) -> int:
    """Download the TensorBoard logs of a subject's trainings; docs/tracking.md."""
    from bot.cli import training_logs
    from bot.connectors.terminal import connector

    return connector.run_alone(lambda: training_logs.fetch(given, out), as_json)
