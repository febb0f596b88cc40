"""The reference pages, made from what the program declares: `python -m docs_tools.reference docs` writes them.

`docs/commands.md` comes from the commands' arguments and the terminal's options, `docs/settings.md` from the settings,
`docs/recipes.md` from the recipe, and the two `docs/slack-manifest*.json` from the commands.
"""

import sys
from pathlib import Path
from typing import Any

import typer

from bot.arguments.forms import fields
from bot.cli.commands import app
from bot.cli.options import limits
from bot.cli.recipe_table import rows as rows_of_recipes
from bot.cli.settings_table import rows
from bot.commands.registry import COMMANDS
from bot.connectors.slack.setup import HTTP_EXAMPLE, manifest_text
from storage.contract.recipe import Recipe
from storage.settings.ask import AskSettings
from storage.settings.bot import BotSettings
from storage.settings.language_model import LanguageModelSettings
from storage.settings.shared import SharedSettings
from storage.settings.trainer import TrainerSettings
from trainer.models.families import FAMILIES

MADE = "<!-- Made by `make docs` from the program: change it there. -->\n\n"

CHATS = """# Commands

All chats have the same commands. In the web chat they are typed as below or filled in as forms; in the terminal they
are subcommands of `darkroom`. Options come last, as `--count 2`. In a prompt, `[name]` stands for the subject of that
name, and `[V]` for the subject of `--subject`, or for your newest one.

## In a chat

"""
TERMINAL = """## In a terminal

Commands start the processes they need (queue, worker) and stop them again; if `darkroom up` or `make demo` is
running, they use that. Progress goes to standard error. Exit status: 0 done, 1 failed or cancelled, 2 bad usage or
bad input, 130 after Ctrl-C, which cancels the job.

All commands but `up`, `web` and `worker` take `--json`, which prints one JSON object as the last thing on standard
output: `{"job": id, "state": "done"|"failed"|"cancelled", "message": sentence, "seconds": x}`. `job` is null if there
is none, for instance after bad input; `seconds` is how long the command took. Once there is a job, `train` adds
`subject` (its id), `name`, `steps`, `loss_first` and `loss_last`; `imagine`, `again` and `variations` add `images`
(absolute paths of PNG files), `grid`, `seeds`, `prompt` and `subject`. `subjects`, `jobs` and `settings` add lists of
those names, `doctor` adds `checks`, `demo --once` adds `sheet`, `eval` adds the content of `eval.json`, `export` and
`logs` add `name`, `path` and `files`, `import` adds `subject`, and the others add `facts`. If there are candidates to
choose from, `train`, `retrain` and `show` add `choices`: the `picture` of all of them, and their `steps`. With a base
model that draws from photos, `train`, `retrain` and `use` add `compared`: a picture of it drawn either way.

"""
RECIPES = """# Recipes

A recipe holds all hyperparameters of a training. Defaults come from the base model (`darkroom.json` in its folder;
Toyworld has one) and otherwise from the usual values for its model family. `darkroom recipe` prints the values that
would be used, and the source of each.

Anyone who trains can override them:

```
/dreambooth train rex dog --recipe gentle --set "rank=8 steps=600"
```

`--recipe` names a preset: a TOML file in the folder `DARKROOM_RECIPES`, kept by whoever runs the bot. `gentle.toml`
might be

```toml
description = "For subjects with few photos."
learning_rate = 1e-6
steps = 1200
```

`--set` overrides single fields and can be repeated. It takes precedence over the preset; `--steps` and `--method` take
precedence over both. Dotted names, as in other trainers, work too: `optimizer.lr=2e-6` is `learning_rate`, and
`text_encoder.lr` is `text_learning_rate`.
`/dreambooth retrain` uses the recipe of the last training, with the overrides you give. The recipe is stored with the
subject: `/dreambooth show` prints it, and in the terminal `darkroom recipe rex` explains each value.

## Full fine-tuning or LoRA

If nobody sets `method`, the base model's `darkroom.json` decides. If it does not either, SDXL is trained with LoRA,
because full fine-tuning takes a GPU with 80 GB. Stable Diffusion 1.x and 2.x are fully fine-tuned, as in the paper,
if the worker that starts the training has enough memory, with sharding or a micro-batch of one if necessary;
otherwise with LoRA. `/dreambooth show` and *Details* show the method. A training that resumes on another worker keeps
its method, and so does `/dreambooth retrain`.

Learning rates depend on the method. In `darkroom.json`, those under `recipe` apply to the method named there (full,
if none is named), and those under `lora` to LoRA. The other defaults are published ones (their sources are in
`family.py` of each family in `trainer/models`):

{USUAL}
## Prior preservation

`prior` decides what keeps a training on rex from turning every dog into rex:

- `class_set`: the class is learned along, from class images that the base model has drawn ("a photo of a dog"). They
  are drawn once for each class, before the first training of it, and kept in the store.
- `teacher`: no pictures are drawn. On each noisy photo, the base model predicts for the class prompt as well, and the
  trained model is to predict the same for that prompt. A step takes about a sixth longer, and no more weights are kept
  in memory: the base model is there anyway.
- `none`: faster steps, and a class that soon looks like the subject.

`prior_weight` is the weight of that loss; 0 is the same as `none`. With captions, the teacher's class prompt has the
photo's caption, too.

## Captions, masks, aspect ratio buckets

A *caption* describes what else a photo shows, so that it does not become part of the subject: "on a red sofa". With
`captions=true`, the training prompt of that photo is "a photo of [V] dog on a red sofa". If a caption names the
class, as in "my brown dog on a red sofa", only the words after the class are used; so do not describe the subject
itself. A caption has at most 200 characters. It is

- a text file with the name of the photo, `rex-1.txt` for `rex-1.jpg`: next to the photo in the terminal and in sweeps,
  attached with the photos everywhere else;
- or, on Discord and Slack, the alt text (description) of the photo.

Captions are stored with the photos, so `/dreambooth retrain rex --set captions=true` can use them later.

*Masked loss*: a PNG or WebP photo may be transparent outside the subject, as cut-outs from phones and image editors
are. The background is replaced by neutral grey. With `mask_weight=0.1`, transparent pixels have a tenth of the weight
of the subject in the loss; with `mask_weight=0` they have none. Photos without transparency are not affected.

*Aspect ratio bucketing*: by default, photos are cropped to a square around the subject. With `aspect_buckets=true`, the
whole photo is used, at a resolution with about its aspect ratio and no more pixels than usual. Photos beyond 2:1 are
cropped around the subject.

## Number of photos

Recipes are made for four to eight varied photos. With fewer photos, more crops of each are used (data augmentation), so
that the background of one photo is not taken for a part of the subject: four times as many for a single photo. With
more photos, a training may take more steps. Near-duplicates, such as bursts, count as one photo. Explicit values,
`--steps` or `crops=1`, apply with any number of photos.

## Candidates and early stopping

If there is a judge (Toyworld's own, or the CLIP model of `DARKROOM_JUDGE`), the subject is evaluated at `candidates`
points of the training, and the best candidate becomes the subject. Early stopping: training ends before its `steps`
when the result is near perfect, or when it looks like the photos and `patience` candidates in a row did not improve;
`patience=0` turns early stopping off. With `--choose yes` all candidates are kept, and people choose one from a sheet
of pictures and metrics; until then `/dreambooth show` offers the choice, too. Without a judge, all steps run and the
last one is kept.

## Sweeps

`darkroom sweep FILE` runs a hyperparameter sweep: it trains subjects with a grid of recipes, spread over all workers,
and writes a table, the same as JSON, and a contact sheet. An interrupted sweep resumes: trainings that are done (same
photos, class and recipe) are not repeated. At the end all trained subjects are deleted, unless you pass `--keep`; if
a training failed, they are kept for another try. The file:

```toml
prompts = ["a [V] dog in Paris", "a [V] dog on the moon"]

[subjects.rex]
class = "dog"
photos = ["photos/rex"]

[grid]
method = ["full", "lora"]
steps = [200, 400]
```

Besides recipe fields, the grid may have `recipe`, names of presets (`""` is none), and `seed`, the seed of the
training: `seed = [0, 1, 2]` shows the variance between runs. Other fields of the grid take precedence over the
preset. `seed` at the top level is the seed of the pictures. Each prompt contains `[V]` for the subject.

## Several subjects

A prompt can name several subjects, `/imagine [rex] and [mia] in the park`, if they were trained together, or if each
was trained with LoRA; several LoRAs are added up. `/dreambooth together rex mia` trains existing subjects again,
together; `darkroom train --together FILE` trains new ones:

```toml
[subjects.rex]
class = "dog"
photos = ["photos/rex"]

[subjects.mia]
class = "dog"
photos = ["photos/mia"]
```

Steps alternate between the subjects, and each gets as many steps as it would alone: two subjects take twice as long.
Each has the class images of its own class. The result is one set of weights, so what rex taught remains in the
weights that mia is drawn with, even after rex is deleted; the confirmation says so, and how to retrain mia without
rex.

## On a GPU

`gradient_checkpointing=true` saves memory: it recomputes activations in the backward pass instead of keeping them.

`compiled=blocks` compiles the UNet's blocks with torch.compile: the first steps of a worker's first training of a
kind take minutes, later trainings reuse the result. `compiled=graphs` also replays each forward and backward pass as
a CUDA graph, for the first two picture sizes of a training; it takes the memory of the gradients once more. With
several GPUs per training, or with `gradient_checkpointing`, it is the same as `blocks`. Both change the result by
rounding only, and neither has been measured on a GPU yet: try on yours. (Older recipes have `true` and `false`, for
`blocks` and `off`.)

Whoever runs the worker chooses how the frozen base model is kept, and `darkroom doctor` says what that takes, before
anybody waits:

- `DARKROOM_OFFLOAD=auto`, the default, leaves as little in the machine's memory as the GPU's memory asks for: nothing;
  text encoders, which read each prompt once; or the blocks of all networks, each of which is copied to the GPU for its
  turn, which is slow. Trainings then use gradient checkpointing.
- `DARKROOM_BASE_WEIGHTS=int8` or `float8` halves the memory of linear layers. int8 is nearer to the whole weights: on
  Toyworld latents are 0.4 % off, with float8 2.1 %, and of 128 captions all are drawn right with either
  ([benchmarks.md](benchmarks.md#weights-in-8-bits)); large models have not been measured yet. Only LoRA is trained so,
  and only LoRA is drawn.

Which to take, to train LoRA at 1024 px and draw four pictures at once. `int8` is to be set, *text* and *blocks* are
what is offloaded by default then. These figures are computed from the models' settings
([benchmarks.md](benchmarks.md#memory)); none has been measured on a GPU yet:

| | 12 GB | 16 GB | 24 GB | 80 GB |
|---|---|---|---|---|
| FLUX.2 [klein] 4B | blocks, 10.1 GB | `int8`, text, 13.2 GB | text, 17.4 GB, or `int8`, 17.1 GB | 50.1 GB |
| Z-Image | blocks, 8.5 GB | `int8`, text, 14.3 GB | text, 21.2 GB, or `int8`, 18.2 GB | 66.1 GB |
| Krea 2 | too little | too little | blocks, 20.8 GB | 54.5 GB |
| SDXL | `int8`, 10.3 GB | text, 12.0 GB, or `int8`, 10.3 GB | 21.0 GB | 33.6 GB |

Stable Diffusion 1.5 needs none of this. On 80 GB only Krea 2 uses gradient checkpointing; on less memory, all do.

`optimizer=adamw8bit` keeps the optimizer state in 8 bits, a quarter of the memory. It needs bitsandbytes on the worker:
`pip install bitsandbytes==0.50.2`.

## All fields

| field | meaning | values | default |
|---|---|---|---|
"""
SETTINGS = """# Settings

Settings are environment variables, or lines of a file `.env` in the working directory. `darkroom settings` prints them
with their values; `darkroom doctor` checks that they work.
"""
READERS = {
    SharedSettings: "Bot and workers",
    BotSettings: "The bot and the terminal",
    TrainerSettings: "Workers",
    AskSettings: "Workers that answer questions",
    LanguageModelSettings: "Language models of workers that answer questions",
}


def commands_page() -> str:
    """Make docs/commands.md."""
    parts = [MADE, CHATS]
    for command in COMMANDS.values():
        if not command.hidden:
            photos = " Attach the photos as files." if command.takes_photos else ""
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
    parts = [MADE, SETTINGS]
    for kind, title in READERS.items():
        parts.append(f"\n## {title}\n\n| setting | meaning | default |\n|---|---|---|\n")
        parts += [f"| `{row.name}` | {row.meaning} | {row.default} |\n" for row in rows(kind)]
    return "".join(parts)


def recipes_page() -> str:
    """Make docs/recipes.md."""
    return MADE + RECIPES.replace("{USUAL}", _usual_rows()) + "".join(rows_of_recipes())


def _usual_rows() -> str:
    """Render the default hyperparameters of each model family as table rows."""
    lines = [
        "| | denoiser | text encoders | steps | accumulation | rank | prior |\n",
        "|---|---|---|---|---|---|---|\n",
    ]
    for family in FAMILIES:
        for method, usual in family.defaults.items():
            rank = "" if method == "full" else usual.rank or Recipe.model_fields["rank"].default
            rates = f"{usual.learning_rate:g} | {usual.text_learning_rate:g}"
            rest = f"{usual.steps} | {usual.accumulation} | {rank} | {usual.prior}"
            lines.append(f"| {family.name}, {method} | {rates} | {rest} |\n")
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
