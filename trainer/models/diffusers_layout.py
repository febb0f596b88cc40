"""What a base model in diffusers' layout is made of: its parts, and which files of each are needed. Without torch.

It goes by names relative to the model's folder, so that a model on the hub is judged before it is downloaded.
Weights come as safetensors alone: a pickle may run code when it is loaded.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.errors import SetupError

RECIPE_FILE = "darkroom.json"  # {"recipe": {…}}, for LoRA on it {"lora": {…}}, and for pictures {"drawing": {…}}
INDEX, SCHEDULE = "model_index.json", "scheduler/scheduler_config.json"
WITHOUT_WEIGHTS = ("tokenizer", "scheduler")  # beginnings of the names of parts
VARIANTS = ("fp16", "bf16", "fp32")  # precisions that names of files tell
PICKLES = (".ckpt", ".bin", ".pt", ".pth")
NO_PICKLES = "which may run code when they are loaded. docs/models.md says how to convert them to safetensors."
FEW = 3


def needed_files(parts: Sequence[str], names: Collection[str], half: bool, called: str, hint: str) -> list[str]:
    """Choose from all names of a model's files those of its `parts`, with weights in half precision if `half` is said.

    Where there is only the other precision, that is chosen. Raises SetupError naming what is missing from the model,
    which is `called` so; `hint` says what it may be instead.
    """
    missing = [part for part in parts if not any(lies_in(name, part) for name in names)]
    if missing:
        raise SetupError(f"{called} has no {', '.join(missing)}. {hint}")
    with_weights = [part for part in parts if not part.startswith(WITHOUT_WEIGHTS)]
    configs = {f"{part}/config.json" for part in with_weights} | {SCHEDULE}
    tokenizers = [part for part in parts if part.startswith("tokenizer")]
    lacking = sorted(configs - {*names}) + [part for part in tokenizers if not _has_words(part, names)]
    if lacking:
        raise SetupError(f"{called} lacks {', '.join(lacking)}.")
    chosen = {name for name in names if name in (INDEX, RECIPE_FILE) or _is_config(name, parts)}
    for part in with_weights:
        chosen |= weights_of(part, names, half, called)
    return sorted(chosen)


def weights_stem(part: str) -> str:
    """What transformers or diffusers call the file of a part's weights."""
    return "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"


def without_weights(files: Collection[str]) -> list[str]:
    """Those of the chosen files that are small: settings and vocabularies."""
    return [name for name in files if not name.endswith(".safetensors")]


def names_in(folder: Path) -> list[str]:
    """Names of the files in a model's folder."""
    paths = [*folder.glob("*"), *folder.glob("*/*")]
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file()]


def config_of(folder: Path, name: str) -> dict[str, Any]:
    """Read a file of settings; raises SetupError if it is damaged."""
    try:
        config = json.loads((folder / name).read_text())
        if isinstance(config, dict):
            return config
        why = "it holds no settings"
    except (OSError, ValueError, RecursionError) as error:
        why = str(error)
    raise SetupError(f"The base model in {folder} has a damaged {name}: {why}.")


@contextmanager
def settings_read(folder: Path, kind: str) -> Iterator[None]:
    """Raise SetupError where the settings in a folder make no network of a model of this kind."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError, RuntimeError) as error:
        raise SetupError(f"The settings in {folder} cannot be read as those of a {kind}: {error}.") from error


def some_of(names: Sequence[str]) -> str:
    """The first few of many names, for a sentence."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{', '.join(names[:FEW])}{more}"


def weights_of(part: str, names: Collection[str], half: bool, called: str) -> set[str]:
    """The files of a part's weights: one, or pieces with their index, in the best precision that is there whole.

    Raises SetupError naming what is missing from the model, which is `called` so.
    """
    lacking = ""
    known = ("fp16", "bf16", "", "fp32") if half else ("", "fp32", "bf16", "fp16")
    for variant in (*known, *_other_variants(part, names)):
        if (whole := f"{part}/{weights_stem(part)}{variant and '.'}{variant}.safetensors") in names:
            return {whole}
        for of, pieces in _pieces(part, names, variant).items():
            if len(pieces) == of:
                return pieces | {
                    n for n in names if _is_index(n) and lies_in(n, part) and _variant_of(n, part) == variant
                }
            lacking = lacking or f"{called} lacks {of - len(pieces)} of the {of} pieces of its {part}."
    if lacking:
        raise SetupError(lacking)
    if pickles := sorted(name for name in names if lies_in(name, part) and name.endswith(PICKLES)):
        raise SetupError(f"{called} has its {part} only as pickles ({pickles[0]}), {NO_PICKLES}")
    raise SetupError(f"{called} lacks the weights of its {part}: {part}/{weights_stem(part)}.safetensors.")


def _pieces(part: str, names: Collection[str], variant: str) -> dict[int, set[str]]:
    """The pieces of a part's weights, by how many there are to be; the variant stands before or after their numbers."""
    stem, dot = re.escape(f"{part}/{weights_stem(part)}"), re.escape(f".{variant}") if variant else ""
    spelt = [rf"{stem}{dot}-\d+-of-(\d+)\.safetensors", rf"{stem}-\d+-of-(\d+){dot}\.safetensors"]
    pieces: dict[int, set[str]] = {}
    for name in names:
        if match := next(filter(None, (re.fullmatch(each, name) for each in spelt)), None):
            pieces.setdefault(int(match[1]), set()).add(name)
    return pieces


def _other_variants(part: str, names: Collection[str]) -> list[str]:
    """Variants of a part's weights by other names than the usual, as float16 or ema."""
    stem = re.escape(f"{part}/{weights_stem(part)}")
    spelt = re.compile(rf"{stem}(?:\.(\w+)(?:-\d+-of-\d+)?|-\d+-of-\d+\.(\w+))\.safetensors")
    variants = {match[1] or match[2] for match in map(spelt.fullmatch, names) if match}
    return sorted(variants - {*VARIANTS})


def _variant_of(index: str, part: str) -> str:
    """The variant in the name of an index, wherever it stands there; empty if there is none."""
    _, *words = index.removeprefix(f"{part}/").split(".")
    return ".".join(word for word in words if word not in ("safetensors", "index", "json"))


def lies_in(name: str, *parts: str) -> bool:
    """Whether a file is in the folder of one of these parts."""
    return name.partition("/")[0] in parts and "/" in name


def _is_config(name: str, parts: Collection[str]) -> bool:
    return lies_in(name, *parts) and name.endswith((".json", ".txt")) and not _is_index(name)


def _is_index(name: str) -> bool:
    return ".index" in name


def _has_words(part: str, names: Collection[str]) -> bool:
    return {f"{part}/vocab.json", f"{part}/merges.txt"} <= {*names} or f"{part}/tokenizer.json" in names
