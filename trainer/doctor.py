"""Whether this machine can work: the base model's files, torch, the GPU, and whether they fit each other."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError

from storage.contract.base import Record
from storage.contract.jobs import Method
from storage.contract.recipe import Prior, Recipe
from storage.errors import SetupError, UserError
from storage.settings.trainer import TrainerSettings
from trainer import base_model_notes as notes
from trainer.dreambooth.trackers import check as check_trackers
from trainer.memory.device import Device, this_machine
from trainer.memory.estimate import MemoryEstimate
from trainer.memory.fit import TOO_LITTLE, MemoryPlan, estimate_of, in_gb, memory_plans, method_here, offload_here
from trainer.models.base import dtype_for, models_folder
from trainer.models.default_recipe import check_recipe, recipe_for
from trainer.models.families import family_of, single_files
from trainer.models.finite import check_file
from trainer.models.meta_model import MetaModel
from trainer.models.sources import ModelSource, find

METHODS: dict[Method, str] = {"lora": "training with LoRA", "full": "training in full"}
PRIORS: dict[Prior, str] = {
    "class_set": "Their class is preserved by class images, which are drawn once for each class (prior=class_set).",
    "teacher": "Their class is preserved by what the base model predicts, without class images (prior=teacher).",
    "none": "Nothing preserves their class (prior=none).",
}


class DoctorReport(Record):
    """What was found, a sentence each, and how bad it is."""

    state: Literal["ok", "warn", "fail"]
    lines: tuple[str, ...]


def report(settings: TrainerSettings) -> DoctorReport:
    """Diagnose whether a worker could run here, and what could be trained."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    sees = f"PyTorch {torch.__version__} sees {', '.join(gpus) if gpus else 'no GPU, so it works on the CPU'}."
    here = this_machine()
    try:
        check_trackers(settings.tracker_names)
        source, dtype = _base_model(settings, here)
        skeleton = MetaModel.of(source.folder, dtype, settings.base_weights)
        # What is not downloaded yet cannot be compared; the worker does it when it starts.
        if source.files and not source.missing_bytes:
            family_of(source.folder).check_weights(source, dtype)
        _check_finite(source, settings)
        fits = _fits(source, skeleton, here, settings)
        drafts = notes.drafts(source, dtype, settings)
    except SetupError as error:
        return DoctorReport(state="fail", lines=(str(error), sees))
    asides = notes.asides(source, settings)
    state = "warn" if asides and fits.state == "ok" else fits.state
    return DoctorReport(
        state=state, lines=(notes.where(source), *notes.licence(source), *drafts, *fits.lines, *asides, sees)
    )


def _check_finite(source: ModelSource, settings: TrainerSettings) -> None:
    """Raise SetupError if weights are no numbers, unless they are still to be downloaded. Reads all of them."""
    path = Path(settings.base_model).expanduser()
    if path.is_file():
        return check_file(path, source.called, single_files(path).PREFIXES)
    for name in source.files if not source.missing_bytes else ():
        if name.endswith(".safetensors"):
            check_file(source.folder / name, source.called)


def base_model_here(settings: TrainerSettings) -> tuple[ModelSource, Method, str]:
    """The base model, by which method subjects are learned here if nobody asks for one, and why; raises SetupError."""
    here = this_machine()
    source, dtype = _base_model(settings, here)
    return source, *method_here(source.folder, partial(estimate_of, source.folder, dtype, settings), here, settings)


def _base_model(settings: TrainerSettings, here: Device) -> tuple[ModelSource, torch.dtype]:
    """The base model, without its weights, and what it would be kept in; raises SetupError."""
    dtype = dtype_for(settings.precision, here.device)
    return find(settings.base_model, models_folder(settings.home), dtype is not torch.float32, weights=False), dtype


def _fits(source: ModelSource, skeleton: MetaModel, here: Device, settings: TrainerSettings) -> DoctorReport:
    """What each kind of work takes, whether there is as much, and how subjects are learned here."""
    learns_lora = "lora" in family_of(source.folder).defaults
    needs = MemoryEstimate(skeleton, bool(settings.twin_model), _recipe(source, "lora") if learns_lora else None)
    try:
        offloaded = needs.with_offload(offload_here(source.folder, needs, here, settings))
    except SetupError as error:
        return DoctorReport(state="fail", lines=(str(error),))
    drawing = here.needs_bytes(offloaded.drawing_bytes())
    says, lacking = [f"Drawing takes about {in_gb(drawing)}"], []
    for method in _methods(source, settings):
        called = METHODS[method]
        tried = []
        for way in memory_plans(needs, here, _recipe(source, method), settings):
            tried.append(_memory_words(way))
            # The ways are sorted by speed: the first that fits is the one that a training would take.
            if way.takes_bytes <= here.memory_bytes:
                break
        else:
            lacking.append(method)
        says.append(f"{called} {' or, '.join(tried)}")
    sentence = f"{', '.join(says)}, of the {in_gb(here.memory_bytes)} that {here.name} has."
    if drawing > here.memory_bytes:
        return DoctorReport(state="fail", lines=(sentence, f"{TOO_LITTLE}."))
    method, why = method_here(source.folder, lambda: needs, here, settings)
    lacks = (f"That is too little for {' and '.join(METHODS[each] for each in lacking)}.",) if lacking else ()
    learned = f"Unless somebody asks for another method, subjects are learned by {method}: {why}."
    learned += f" {PRIORS[_recipe(source, method).prior]}"
    beside = _beside(offloaded)
    return DoctorReport(state="warn" if method in lacking else "ok", lines=(sentence, *lacks, *beside, learned))


def _methods(source: ModelSource, settings: TrainerSettings) -> Iterator[Method]:
    """The methods that subjects can be learned by here."""
    plain = settings.base_weights == "plain" and settings.offload in ("auto", "none")
    return (each for each in METHODS if each in family_of(source.folder).defaults and (plain or each == "lora"))


def _beside(needs: MemoryEstimate) -> tuple[str, ...]:
    """What is said of weights that are offloaded."""
    offload = needs.skeleton.base.placement.offload
    if offload == "none":
        return ()
    what = {"text": "its text encoders", "blocks": "the blocks of its networks"}[offload]
    slow = ", which is slow" if offload == "blocks" else ""
    return (f"{in_gb(needs.host_bytes())} of the base model, {what}, lie in the machine's memory until needed{slow}.",)


def _memory_words(way: MemoryPlan) -> str:
    """How much memory a way takes, and what kind of way it is."""
    divided = f"divided among {way.gpus} GPUs, " if way.gpus > 1 and not way.gentle else ""
    beside = {"none": "", "text": "text encoders offloaded, ", "blocks": "blocks offloaded, "}[way.offload]
    takes = f"{in_gb(way.takes_bytes)}{' of each' if divided else ''}"
    return f"{divided}{beside}{'slower, ' if way.gentle else ''}{takes}"


def _recipe(source: ModelSource, method: Method) -> Recipe:
    """The recipe that suits the model."""
    try:
        recipe = recipe_for(source.folder, method=method)
        check_recipe(recipe, family_of(source.folder))
        return recipe
    except ValidationError as error:
        raise SetupError(f"{source.called} has a recipe that does not work: {error.errors()[0]['msg']}.") from error
    except UserError as error:
        raise SetupError(f"{source.called} has a recipe that does not work. {error}") from error
