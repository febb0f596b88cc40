"""The reference pages, made from what the program declares: `python -m bot.reference docs` writes them.

`docs/commands.md` comes from the commands' arguments and the terminal's options, `docs/settings.md` from the settings,
`docs/recipes.md` from the recipe,
and the two `docs/slack-manifest*.json` from what Slack has to be told of the commands.
"""

import sys
from pathlib import Path
from typing import Any

import typer

from bot.asking.forms import fields
from bot.cli import app
from bot.commands import COMMANDS
from bot.slack.setup import HTTP_EXAMPLE, manifest_text
from bot.terminal.options import limits
from bot.terminal.recipe_table import rows as rows_of_recipes
from bot.terminal.settings_table import rows
from storage.usual import USUAL

MADE = "<!-- Made by `make docs` from the program: change it there. -->\n\n"

CHATS = """# Commands

The same commands everywhere. In the web chat they are typed as below or filled in as forms; at a terminal they are
subcommands of `darkroom`. Options come last, as `--count 2`. In a prompt, `[name]` stands for a subject by its name,
and `[V]` for the one given as `--subject`, else for your newest.

## In a chat

"""
TERMINAL = """## At a terminal

With nothing running, commands start what they need (queue, worker) and stop it again; beside `darkroom up` or
`make demo` they use that. Progress goes to standard error. Exit status: 0 done, 1 failed or cancelled, 2 bad usage or
bad input, 130 after Ctrl-C, which asks the job to stop.

All but `up`, `web` and `worker` take `--json`, which prints one object, last, on standard output:
`{"job": id, "state": "done"|"failed"|"cancelled", "message": sentence, "seconds": x}`, where `job` is null if there is
none, as after bad input, and `seconds` is how long the command took. Once there is a job, `train` adds `subject` (its
id), `name`, `steps`, `loss_first` and `loss_last`; `imagine`, `again` and `variations` add `images` (absolute paths of
PNG files), `grid`, `seeds`, `prompt` and `subject`. `subjects`, `jobs` and `settings` add lists of those names,
`doctor` adds `checks`, `demo --once` adds `sheet`, `eval` adds what is in `eval.json`, `export` and `logs` add `name`,
`path` and `files`, `import` adds `subject`, and the others add `facts`. Where candidates are to be chosen from,
`train`, `retrain` and `show` add `choices`: the sheet's `picture`, and the `steps`.

"""
RECIPES = """# Recipes

Every number of a training. What is not asked for is what suits the base model (`darkroom.json` in its folder, which
Toyworld brings along), and else what is usual for models like it. `darkroom recipe` prints what would hold, and where
each number comes from.

On top comes what is asked for, by anyone who trains:

```
/dreambooth train rex dog --recipe gentle --set "rank=8 steps=600"
```

`--recipe` names a preset, a TOML file that whoever runs the bot keeps in the folder of `DARKROOM_RECIPES`;
`gentle.toml` might be

```toml
description = "For subjects of few photos."
learning_rate = 1e-6
steps = 1200
```

and `--set` changes single numbers besides, as often as you like; it wins over the preset, and `--steps` and `--method`
win over both. A name may be dotted, and as other trainers have it: `optimizer.lr=2e-6` is `learning_rate`, and
`text_encoder.lr` is `text_learning_rate`.
`/dreambooth retrain` does as the last time but for what it is told. The recipe is kept with the subject, and
`/dreambooth show` tells it; at the terminal, `darkroom recipe rex` does with what each number means.

## Full or LoRA

Where nobody asks for a `method`, the base model's `darkroom.json` decides. If it does not, SDXL is learned by LoRA, for
its full training takes a GPU of 80 GB; Stable Diffusion 1.x and 2.x in full, the paper's way, if the worker that begins
has the memory for it, divided among GPUs or one example at a time if need be, and else by LoRA. `/dreambooth show` and
*Details* say which it was. A training that goes on elsewhere keeps its method, and so does `/dreambooth retrain`.

Learning rates are right for one method alone. Those in `darkroom.json` under `recipe` are for the method that it names,
full if it names none; those under `lora` for LoRA. What is not said there is, as others have published it
(`storage/usual.py` says who):

{USUAL}
## What is in a photo besides

What a photo shows besides the subject can be said, so that the subject does not take it over: "on a red sofa". With
`captions=true` the photo is learned as "a photo of [V] dog on a red sofa". Of a caption that names the class, "my brown
dog on a red sofa", only what stands after it is taken, the same here; so say nothing of the subject itself. A caption
has 200 characters at most. It is

- a text file that is called like the photo, `rex-1.txt` for `rex-1.jpg`: at the terminal and in sweeps it lies beside
  the photo, everywhere else it is sent along with the photos;
- or on Discord and Slack the photo's own description, its alt text.

Captions are kept with the photos, so `/dreambooth retrain rex --set captions=true` has them, too.

A photo may be transparent where it does not show the subject, as a PNG or WebP: phones and drawing programs cut things
out so. It is learned in front of a neutral grey. With `mask_weight=0.1` what is transparent counts a tenth of what the
subject counts, with `mask_weight=0` nothing; photos without transparency are learned as always.

A photo that is not square is cut to a square around the subject. With `aspect_buckets=true` all of it is learned, in a
size of about its aspect and no more pixels than usual; of what is longer than two to one, the part about the subject.

## How many photos

Four to eight photos that differ are what recipes are made for. Of fewer, more crops are learned, so that what stands
beside the subject in one of them is not taken for a part of it: four times as many of a single photo. With more, a
training may take more steps. Photos that look almost alike, as those of a burst do, count as one. What was asked for by
name, `--steps` or `crops=1`, holds however many there are.

## When a training ends

Where somebody can look, Toyworld's judge or the CLIP model of `DARKROOM_JUDGE`, what was learned is measured at
`candidates` points of the training, and the best of them becomes the subject. A training ends before its `steps` when
it is near perfect, or when it looks like the photos and `patience` candidates in a row were no better; `patience=0`
takes all steps. With `--choose yes` all candidates are kept, and people choose by a sheet of pictures and by what was
measured of each; until then `/dreambooth show` offers the choice, too. Without a judge all steps are taken, and the end
counts.

## Sweeps

`darkroom sweep FILE` learns subjects with a grid of recipes through the queue, so that a pool of workers shares the
work, and leaves a table, the same as JSON, and a contact sheet. A sweep that was broken off goes on: what was learned
of the same photos and class, in the same way, is not learned again. In the end all that it learned is forgotten, unless
there is `--keep`; if a training came to nothing, all stays for another try. The file:

```toml
prompts = ["a [V] dog in Paris", "a [V] dog on the moon"]

[subjects.rex]
class = "dog"
photos = ["photos/rex"]

[grid]
method = ["full", "lora"]
steps = [200, 400]
```

Beside the numbers of recipes the grid may have `recipe`, names of presets (`""` is none), and `seed`, that of the
training: `seed = [0, 1, 2]` says how much is chance. What else the grid says wins over the preset. `seed` at the top is
that of the drawings. Each prompt has `[V]` where the subject is to be.

## Several subjects

A prompt may name several subjects, `/imagine [rex] and [mia] in the park`, if they were learned together, or each with
the method lora, which is added up to draw. `/dreambooth together rex mia` learns subjects that are there anew, in one
training; `darkroom train --together FILE` learns new ones so:

```toml
[subjects.rex]
class = "dog"
photos = ["photos/rex"]

[subjects.mia]
class = "dog"
photos = ["photos/mia"]
```

They take turns at each step, and each has as many steps as it would have alone: two of them take twice as long. The
class of each has its own class images. What is learned is one, so that forgetting rex leaves what mia draws from as it
is; whoever forgets reads that, and how to have mia learned anew without rex.

## On a GPU

`compiled=blocks` has the UNet's blocks compiled: the first steps of a worker's first training of a kind take minutes,
and all later ones find it done. `compiled=graphs` also has a whole pass replayed by the GPU itself, as a CUDA graph,
for the first two sizes of pictures in a training; it takes the memory of the gradients once more. With several GPUs
to a training, or with `gradient_checkpointing`, it is the same as `blocks`. Neither changes what is learned but for
rounding, and neither has been measured on a GPU yet: try on yours. (`true` and `false`, as older recipes have it, are
`blocks` and `off`.)

`optimizer=adamw8bit` keeps the optimizer's state in eight bits, a quarter of the memory. It needs bitsandbytes beside
the worker: `pip install bitsandbytes==0.50.2`.

## All numbers

| | what it is | what it may be | usually |
|---|---|---|---|
"""
SETTINGS = """# Settings

Environment variables, or lines of a file `.env` in the folder where a process starts. `darkroom settings` prints them
with their values, `darkroom doctor` checks what they lead to.

"""


def commands_page() -> str:
    """Make docs/commands.md."""
    parts = [MADE, CHATS]
    for command in COMMANDS.values():
        if not command.hidden:
            photos = " Photos come with it as files." if command.takes_photos else ""
            parts.append(f"### `/{command.usage}`\n\n{command.summary}{photos}\n\n")
            parts += [f"- `{f.name}`: {_sentence(f.meaning, limits(f))}\n" for f in fields(command.arguments)]
            parts.append("\n" if fields(command.arguments) else "")
    parts.append(TERMINAL)
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        parts.append(f"### `darkroom {name}{_usage(command)}`\n\n{command.help}\n\n")
        options = [p for p in command.params if p.name not in ("help", "as_json")]
        parts += [f"- `{_called(p)}`: {_sentence(p.help or '', _default(p))}\n" for p in options]
        parts.append("\n" if options else "")
    return "".join(parts).rstrip() + "\n"


def _usage(command: Any) -> str:
    taken = [p.metavar for p in command.params if p.param_type_name == "argument"]
    return "".join(f" {metavar}" for metavar in taken)


def _called(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    return ", ".join(sorted(parameter.opts, key=len)) + (f" {parameter.metavar}" if parameter.metavar else "")


def _default(parameter: Any) -> str:
    return f"(default {parameter.default})" if isinstance(parameter.default, str | Path) else ""


def _sentence(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def settings_page() -> str:
    """Make docs/settings.md."""
    lines = [f"| `{row.name}` | {row.meaning} | {row.default} |\n" for row in rows()]
    return MADE + SETTINGS + "| setting | meaning | default |\n|---|---|---|\n" + "".join(lines)


def recipes_page() -> str:
    """Make docs/recipes.md."""
    return MADE + RECIPES.replace("{USUAL}", _usual_rows()) + "".join(rows_of_recipes())


def _usual_rows() -> str:
    """The table of what is usual for each family of base models."""
    lines = ["| | UNet | text encoders | steps | passes each |\n", "|---|---|---|---|---|\n"]
    for family, methods in USUAL.items():
        for method, usual in methods.items():
            rates = f"{usual.learning_rate:g} | {usual.text_learning_rate:g}"
            lines.append(f"| {family}, {method} | {rates} | {usual.steps} | {usual.accumulation} |\n")
    return "".join(lines)


def main() -> None:
    """Write the pages into the folder that is named."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    folder.mkdir(exist_ok=True)
    (folder / "commands.md").write_text(commands_page())
    (folder / "settings.md").write_text(settings_page())
    (folder / "recipes.md").write_text(recipes_page())
    (folder / "slack-manifest.json").write_text(manifest_text() + "\n")
    (folder / "slack-manifest-http.json").write_text(manifest_text(HTTP_EXAMPLE) + "\n")


if __name__ == "__main__":
    main()
