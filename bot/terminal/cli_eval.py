"""The terminal's command that evaluates: how good what is learned is, in the paper's figures."""

from pathlib import Path
from typing import Annotated

import typer

from bot.terminal.options import PICTURES, AsJson

app = typer.Typer()
MODEL = "model that measures, a folder or a name on the hub; by default"


@app.command("eval", rich_help_panel=PICTURES)
def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Subjects and prompts: docs/evaluation.md.")],
    out: Annotated[Path, typer.Option(help="Folder for figures, contact sheets, pictures.")] = Path("darkroom-eval"),
    clip: Annotated[str | None, typer.Option(help=f"CLIP {MODEL} DARKROOM_JUDGE.")] = None,
    dino: Annotated[str | None, typer.Option(help=f"DINO {MODEL} DARKROOM_DINO.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what was learned, in a space of its own.")] = False,
    as_json: AsJson = False,
) -> int:
    """Measure subjects as DreamBooth's paper does: DINO, CLIP-I, CLIP-T, PRES and DIV."""
    from bot import on_terminal
    from bot.series import evaluation

    return on_terminal.run(lambda session: evaluation.play(session, file, out, keep, clip, dino), as_json)
