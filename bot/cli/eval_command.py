"""The terminal's command that evaluates: how good what is learned is, in the paper's figures."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.options import PICTURES, AsJson

app = typer.Typer()
MODEL = "model for the metrics, a folder or a name on the hub; default:"


@app.command("eval", rich_help_panel=PICTURES)
def evaluate(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="TOML file with subjects and prompts; docs/evaluation.md describes it."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for metrics, contact sheets, pictures.")] = Path("darkroom-eval"),
    clip: Annotated[str | None, typer.Option(help=f"CLIP {MODEL} DARKROOM_JUDGE.")] = None,
    dino: Annotated[str | None, typer.Option(help=f"DINO {MODEL} DARKROOM_DINO.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the trained subjects, in a space of their own.")] = False,
    as_json: AsJson = False,
) -> int:
    """Evaluate subjects with the metrics of the DreamBooth paper: DINO, CLIP-I, CLIP-T, PRES and DIV."""
    from bot.connectors.terminal import connector
    from bot.experiments import evaluation

    return connector.run(
        lambda session: evaluation.run_evaluation(session, file, out, keep, clip, dino), as_json, unpaced=True
    )
