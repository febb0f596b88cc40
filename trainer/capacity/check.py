"""Whether this machine can work: the base model's files, torch, the GPU, and whether they fit each other."""

import math
from typing import Literal

import torch
from pydantic import ValidationError

from storage.errors import SetupError
from storage.jobs import Method, Record
from storage.recipe import Recipe
from storage.settings import Settings
from trainer.base_models.headers import shapes_in
from trainer.base_models.layout import WEIGHTS
from trainer.base_models.skeleton import Skeleton
from trainer.base_models.sources import Source, find
from trainer.capacity.machine import HALVES, Machine, may_shard, this_machine
from trainer.capacity.memory import gentler
from trainer.capacity.needs import Needs
from trainer.lessons.trackers import check as check_trackers
from trainer.models import dtype_for, models_folder
from trainer.recipe import recipe_for

METHODS: dict[Method, str] = {"lora": "training with LoRA", "full": "training in full"}


class Report(Record):
    """What was found, a sentence each, and how bad it is."""

    state: Literal["ok", "warn", "fail"]
    lines: tuple[str, ...]


def report(settings: Settings) -> Report:
    """Say whether a worker could run here, and what could be trained."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    sees = f"PyTorch {torch.__version__} sees {', '.join(gpus) if gpus else 'no GPU, so it works on the CPU'}."
    here = this_machine()
    dtype = dtype_for(settings.precision, here.device)
    try:
        check_trackers(settings.tracker_names)
        source = find(settings.base_model, models_folder(settings.home), dtype is not torch.float32, weights=False)
        skeleton = Skeleton.of(source.folder, dtype)
        _check_whole(source, skeleton)
        fits = _fits(source, skeleton, here, settings)
    except SetupError as error:
        return Report(state="fail", lines=(str(error), sees))
    return Report(state=fits.state, lines=(_where(source), *fits.lines, sees))


def _where(source: Source) -> str:
    if source.missing_bytes:
        return f"{source.called} is on the hub: {_gb(source.missing_bytes)} are downloaded when a worker starts."
    if not source.files:
        return f"{source.called} is whole, and read with the settings in {source.folder}."
    return f"{source.called} is in {source.folder}."


def _check_whole(source: Source, skeleton: Skeleton) -> None:
    """Raise SetupError if files of weights are damaged or hold too little, unless they are still to be downloaded."""
    for part in WEIGHTS if not source.missing_bytes else ():
        files = [name for name in source.files if name.startswith(f"{part}/") and name.endswith(".safetensors")]
        shapes = [shape for name in files for shape in shapes_in(source.folder / name).values()]
        have = sum(math.prod(shape.sizes) for shape in shapes if "F" in shape.kind)
        if files and have < skeleton.weights(part):
            raise SetupError(f"{source.called} has only {have:,} of {skeleton.weights(part):,} weights of its {part}.")


def _fits(source: Source, skeleton: Skeleton, here: Machine, settings: Settings) -> Report:
    """What each kind of work takes, and whether there is as much."""
    needs = Needs(skeleton)
    drawing = here.needs_bytes(needs.drawing_bytes())
    says, lacking = [f"Drawing takes about {_gb(drawing)}"], []
    for method, called in METHODS.items():
        recipe, half = _recipe(source, skeleton, method)
        takes, gpus = here.needs_bytes(needs.training_bytes(recipe, half)), 1
        says.append(f"{called} {_gb(takes)}")
        if takes > here.memory_bytes and may_shard(settings.sharding, recipe, settings.gpus_per_training):
            gpus = settings.gpus_per_training
            takes = here.needs_bytes(needs.training_bytes(recipe, half, gpus))
            says[-1] += f" or, divided among {gpus} GPUs, {_gb(takes)} of each"
        if takes > here.memory_bytes:  # then it is tried again, slower
            takes = here.needs_bytes(needs.training_bytes(gentler(recipe), half, gpus))
            says[-1] += f" or, slower, {_gb(takes)}"
            lacking += [called] if takes > here.memory_bytes else []
    sentence = f"{', '.join(says)}, of the {_gb(here.memory_bytes)} that {here.name} has."
    if drawing > here.memory_bytes:
        return Report(state="fail", lines=(sentence, "That is too little for this base model: take a smaller one."))
    if lacking:
        return Report(state="warn", lines=(sentence, f"That is too little for {' and '.join(lacking)}."))
    return Report(state="ok", lines=(sentence,))


def _recipe(source: Source, skeleton: Skeleton, method: Method) -> tuple[Recipe, torch.dtype | None]:
    """The recipe that suits the model, and its mixed precision."""
    try:
        recipe = recipe_for(source.folder, method=method)
    except ValidationError as error:
        raise SetupError(f"{source.called} has a recipe that does not work: {error.errors()[0]['msg']}.") from error
    kept_in = next(skeleton.denoiser.parameters()).dtype
    return recipe, HALVES.get(recipe.precision, None if kept_in is torch.float32 else kept_in)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"
