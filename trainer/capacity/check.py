"""Whether this machine can work: the base model's files, torch, the GPU, and whether they fit each other."""

from typing import Literal

import torch
from pydantic import ValidationError

from storage.errors import SetupError
from storage.jobs import Method, Record
from storage.recipe import Recipe
from storage.settings import Settings
from trainer.base_models.skeleton import Skeleton
from trainer.base_models.sources import Source, find
from trainer.base_models.weights import check_weights
from trainer.capacity.fitting import Way, in_gb, method_here, ways
from trainer.capacity.machine import Machine, this_machine
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
    try:
        check_trackers(settings.tracker_names)
        source, dtype = _found(settings, here)
        skeleton = Skeleton.of(source.folder, dtype)
        if source.files and not source.missing_bytes:
            check_weights(source, skeleton)
        fits = _fits(source, skeleton, here, settings)
    except SetupError as error:
        return Report(state="fail", lines=(str(error), sees))
    return Report(state=fits.state, lines=(_where(source), *fits.lines, sees))


def found_here(settings: Settings) -> tuple[Source, Method, str]:
    """The base model, by which method subjects are learned here if nobody asks for one, and why; raises SetupError."""
    here = this_machine()
    source, dtype = _found(settings, here)
    return source, *method_here(source.folder, lambda: Needs(Skeleton.of(source.folder, dtype)), here, settings)


def _found(settings: Settings, here: Machine) -> tuple[Source, torch.dtype]:
    """The base model, without its weights, and what it would be kept in; raises SetupError."""
    dtype = dtype_for(settings.precision, here.device)
    return find(settings.base_model, models_folder(settings.home), dtype is not torch.float32, weights=False), dtype


def _where(source: Source) -> str:
    if source.missing_bytes:
        return f"{source.called} is on the hub: {in_gb(source.missing_bytes)} are downloaded when a worker starts."
    if not source.files:
        return f"{source.called} is whole, and read with the settings in {source.folder}."
    return f"{source.called} is in {source.folder}."


def _fits(source: Source, skeleton: Skeleton, here: Machine, settings: Settings) -> Report:
    """What each kind of work takes, whether there is as much, and how subjects are learned here."""
    needs = Needs(skeleton)
    drawing = here.needs_bytes(needs.drawing_bytes())
    says, lacking = [f"Drawing takes about {in_gb(drawing)}"], []
    for method, called in METHODS.items():
        tried = []
        for way in ways(needs, here, _recipe(source, method), settings):
            tried.append(_said(way))
            if way.takes_bytes <= here.memory_bytes:
                break
        else:
            lacking.append(method)
        says.append(f"{called} {' or, '.join(tried)}")
    sentence = f"{', '.join(says)}, of the {in_gb(here.memory_bytes)} that {here.name} has."
    if drawing > here.memory_bytes:
        return Report(state="fail", lines=(sentence, "That is too little for this base model: take a smaller one."))
    method, why = method_here(source.folder, lambda: needs, here, settings)
    lacks = (f"That is too little for {' and '.join(METHODS[each] for each in lacking)}.",) if lacking else ()
    learned = f"Unless somebody asks for another method, subjects are learned by {method}: {why}."
    return Report(state="warn" if method in lacking else "ok", lines=(sentence, *lacks, learned))


def _said(way: Way) -> str:
    """How much memory a way takes, and what kind of way it is."""
    divided = f"divided among {way.gpus} GPUs, " if way.gpus > 1 and not way.gentle else ""
    return f"{divided}{'slower, ' if way.gentle else ''}{in_gb(way.takes_bytes)}{' of each' if divided else ''}"


def _recipe(source: Source, method: Method) -> Recipe:
    """The recipe that suits the model."""
    try:
        return recipe_for(source.folder, method=method)
    except ValidationError as error:
        raise SetupError(f"{source.called} has a recipe that does not work: {error.errors()[0]['msg']}.") from error
