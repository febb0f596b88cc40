"""Weights of a base model in diffusers' layout: compared with its settings first, and then read.

The libraries' own `from_pretrained` draws lots for what is missing, drops what it does not know, and reads scaled
weights without their scales; here each of these is a sentence.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from torch import Tensor
from transformers.initialization import no_init_weights

from storage.errors import SetupError
from trainer.models.diffusers_layout import config_of, some_of
from trainer.models.key_aliases import check_fit, locate_keys, unread_keys
from trainer.models.key_locations import KeyLocation
from trainer.models.other_file_kinds import other_file
from trainer.models.quantisation import format_of_config
from trainer.models.safetensors_files import SafetensorsFiles
from trainer.models.sources import ModelSource

QUANTISED = "is quantised ({}), and Darkroom cannot read that: take it in 16 or 32 bits, or in fp8"


@contextmanager
def shapes_only() -> Iterator[None]:
    """Networks that are made in here are shapes without content, so that they take neither memory nor time."""
    with no_init_weights(), torch.device("meta"):
        yield


def check_part(source: ModelSource, part: str, network: Any) -> SafetensorsFiles:
    """Compare names and shapes of a part's weights with a network of its settings, by the files' headers alone.

    Returns the opened files; raises SetupError.
    """
    if called := format_of_config(config_of(source.folder, f"{part}/config.json")):
        raise SetupError(f"{source.called} has a {part} that {QUANTISED.format(called)}.")
    tensors = opened(_files(source, part), source.called)
    _located(source, part, tensors, network.state_dict())
    return tensors


def read_part(source: ModelSource, part: str, empty: Callable[[], Any], dtype: torch.dtype) -> Any:
    """One part with its weights in `dtype`; `empty` makes it by its settings. Raises SetupError."""
    # Random numbers that the files' would replace at once took longer than to read these. Weights are not tied either:
    # no network here has any that are, since FLUX.2 [klein]'s language model is read without its head.
    with no_init_weights(), init_empty_weights(include_buffers=False):
        network = empty()
    likes = network.state_dict()
    tensors = opened(_files(source, part), source.called)
    where = _located(source, part, tensors, likes)
    whole = {*(getattr(network, "_keep_in_fp32_modules", None) or ())}  # what loses too much in half precision
    dtypes = {name: torch.float32 if whole & {*name.split(".")} else dtype for name in where}
    read = {name: tensors[place.name].reshape(likes[name].shape).to(dtypes[name]) for name, place in where.items()}
    network.load_state_dict(read, assign=True)
    return network


def opened(files: Iterable[tuple[str, Path]], called: str) -> SafetensorsFiles:
    """Open files of a base model; raises SetupError if one is damaged, or quantised in a way that cannot be read."""
    files = list(files)
    try:
        tensors = SafetensorsFiles(files)
    except (SafetensorError, OSError) as error:
        for _, path in files:
            if what := other_file(path):
                raise SetupError(f"{called} cannot be read: {path.name} is {what}.") from error
        raise SetupError(f"{called} cannot be read, a file is damaged or incomplete: {error}.") from error
    if quantisation := tensors.unreadable_format:
        raise SetupError(f"{called} {QUANTISED.format(quantisation)}.")
    return tensors


def _located(
    source: ModelSource, part: str, tensors: SafetensorsFiles, likes: Mapping[str, Tensor]
) -> dict[str, KeyLocation]:
    where = locate_keys({name: KeyLocation(name) for name in likes}, tensors.shapes)
    if missing := [name for name, place in where.items() if place.name not in tensors.shapes]:
        raise SetupError(f"{source.called} lacks weights of its {part}: {some_of(missing)}.")
    try:
        check_fit(where, likes, tensors.shapes)
    except ValueError as error:
        raise SetupError(f"{source.called} cannot be read, its {part} does not fit its settings: {error}.") from error
    if extra := unread_keys(where, tensors.shapes):
        raise SetupError(
            f"{source.called} has weights in its {part} that its settings do not tell of: {some_of(extra)}."
        )
    return where


def _files(source: ModelSource, part: str) -> list[tuple[str, Path]]:
    names = (name for name in source.files if name.startswith(f"{part}/") and name.endswith(".safetensors"))
    return [("", source.folder / name) for name in names]
