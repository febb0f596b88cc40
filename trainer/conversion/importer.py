"""Take a LoRA or a whole checkpoint that others have trained as what a training of ours would have left."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from storage.contract.conversion import ConversionResult, ImportRequest
from storage.contract.jobs import Method
from storage.errors import UserError
from trainer.conversion import lora_formats
from trainer.conversion.file_formats import TAKES, OpenedFiles, open_foreign
from trainer.conversion.peft_config import PeftSettings
from trainer.dreambooth import lora
from trainer.dreambooth.weights import ADAPTERS, DIFFERENCES
from trainer.models.base import BaseModel, load_base
from trainer.models.diffusers_layout import some_of
from trainer.models.families import seems_for
from trainer.models.file_kinds import UnusableFile, kind_of, other_model
from trainer.models.key_aliases import check_fit, locate_keys, unread_keys
from trainer.models.key_locations import KeyLocation, picked
from trainer.models.model_files import CheckpointKeys, ModelFiles
from trainer.models.safetensors_files import SafetensorsFiles

OWN_VAE = "It brings a VAE of its own, which is left out: the base model's draws."
LORA = "a LoRA"  # as file_kinds.py calls it
OWN_TEXT = "It brings no text encoder, so the base model's reads."


def import_file(request: ImportRequest, doing: Callable[[str], None]) -> ConversionResult:
    """Write the weights of a subject; raises UserError for a file that cannot be one, and SetupError."""
    path = Path(request.file)
    doing("Reading the file")
    foreign = open_foreign(path)
    doing("Loading the base model")
    # In half precision the differences that were learned would vanish in rounding.
    base = load_base(request.base_model, precision="float32")
    files = base.files()
    method: Method = "lora" if lora_formats.is_lora(foreign.tensors) else "full"
    try:
        note = files.check_noise(foreign.tensors)
        doing("Comparing them")
        weights, says = (_adapters if method == "lora" else _differences)(foreign, base, files)
    except UnusableFile as error:
        raise UserError(f"{path.name} cannot be used: {error}.") from error
    except ValueError as error:
        raise _misfit(path, foreign.tensors, files, str(error)) from error
    if not _are_numbers(weights):
        raise UserError(f"{path.name} is damaged: not all of its weights are numbers.")
    save_file(weights, request.weights, ADAPTERS if method == "lora" else DIFFERENCES)
    revision, sha256 = base.version
    other = files.other_family(foreign.tensors.metadata)
    made_for = f"By its metadata it was made for {other}, and the base model is another." if other else ""
    says = " ".join(filter(None, (says, note, made_for)))
    return ConversionResult(state="done", says=says, method=method, base_revision=revision, base_sha256=sha256)


def _adapters(foreign: OpenedFiles, base: BaseModel, files: ModelFiles) -> tuple[dict[str, Tensor], str]:
    """The adapters of a LoRA file, and what there is to say of it."""
    beside = PeftSettings.of_files(foreign.settings)
    parsed, embeddings = lora_formats.read_lora(foreign.tensors, base.denoiser, files, beside)
    _check_effect(parsed, lora.deltas(parsed, base.denoiser))
    words = ", ".join(f"“{word}”" for word in embeddings)
    plural = "s" if len(embeddings) > 1 else ""
    return (
        parsed,
        f"Its embedding{plural} {words} cannot be taken, so the word{plural} will mean nothing." if words else "",
    )


def _check_effect(weights: Mapping[str, Tensor], added: Mapping[str, Tensor]) -> None:
    """Raise UnusableFile for adapters that add nothing to the base model, or more than can be computed with."""
    # A LoRA starts with zeros in one matrix of each pair: a file of an untrained one is valid and useless.
    if not any(weight.any() for weight in added.values()):
        raise UnusableFile("nothing was learned in it: all that it adds to the base model is zero")
    if _are_numbers(weights) and not _are_numbers(added):
        raise UnusableFile("its matrices multiplied by its alphas are too large to be computed with")


def _are_numbers(weights: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in weights.values())


def _misfit(path: Path, tensors: SafetensorsFiles, files: ModelFiles, why: str) -> UserError:
    seems = seems_for(tensors.shapes) or files.seems_for(tensors.shapes) or other_model(tensors.shapes)
    if seems and seems != files.shown_name:
        here = f", and the one here is a {files.shown_name}" if files.shown_name else ""
        return UserError(f"{path.name} does not fit the base model: it seems to be for {seems}{here}.")
    return UserError(f"{path.name} does not fit the base model: {why}.")


def _differences(foreign: OpenedFiles, base: BaseModel, files: ModelFiles) -> tuple[dict[str, Tensor], str]:
    """What a checkpoint adds to the weights of the base model, and what there is to say of it."""
    tensors, keys = foreign.tensors, files.checkpoint_keys()
    if not any(name.startswith(keys.backbone) for name in tensors.shapes):
        kind = kind_of(tensors.shapes)
        if kind == LORA:
            raise UnusableFile(
                f"its matrices are called in a way that Darkroom does not know: {some_of([*tensors.shapes])}"
            )
        why = f"it is {kind}" if kind else "it is neither a LoRA nor a checkpoint of Stable Diffusion"
        raise UnusableFile(f"{why}. {TAKES}")
    looked_up = _looked_up(tensors, keys)
    there = {name for name, place in looked_up.items() if place.name in tensors.shapes}
    named, notes = base.denoiser.state_dict(), []
    # Checkpoints often leave out text encoders that were not trained; the base model's are used then.
    readers = [part for part in base.parts if part not in (base.denoiser.backbone_part, keys.autoencoder)]
    for network in readers:
        of_network = {name for name in named if name.startswith(f"{network}.")}
        if not of_network & there:
            notes += [OWN_TEXT] if network == readers[0] else []
            named = {name: weight for name, weight in named.items() if name not in of_network}
    if missing := [looked_up[name].name for name in named if name not in there]:
        raise ValueError(f"it has no {some_of(missing)}")
    check_fit({name: looked_up[name] for name in named}, named, tensors.shapes)
    notes += _left_out(tensors, looked_up, keys)
    differences: dict[str, Tensor] = {}
    for name, before in named.items():
        differences |= _difference(name, _read(tensors, looked_up[name], before), before.cpu())
    if not differences:
        raise UnusableFile("it is the base model itself, and nothing in it was learned")
    autoencoder = base.parts[keys.autoencoder]
    notes += [OWN_VAE] if _has_own_autoencoder(tensors, looked_up, autoencoder, keys) else []
    return differences, " ".join(notes)


def _has_own_autoencoder(
    tensors: SafetensorsFiles, where: Mapping[str, KeyLocation], autoencoder: Any, keys: CheckpointKeys
) -> bool:
    """Whether a checkpoint has another one than the base model."""
    ours = {f"{keys.autoencoder}.{name}": weight.cpu() for name, weight in autoencoder.state_dict().items()}
    there = {name: where[name] for name in ours if where[name].name in tensors.shapes}
    try:
        check_fit(there, ours, tensors.shapes)
    except ValueError:
        return True
    return any(not _alike(_read(tensors, place, ours[name]), ours[name]) for name, place in there.items())


def _left_out(tensors: SafetensorsFiles, where: Mapping[str, KeyLocation], keys: CheckpointKeys) -> list[str]:
    """Notes on what else is in a checkpoint; raises ValueError where that belongs to the networks."""
    extra = [name for name in unread_keys(where, tensors.shapes) if not name.startswith(keys.autoencoder_prefix)]
    if inside := [name for name in extra if name.startswith(keys.networks)]:
        raise ValueError(f"it has weights that the base model has not: {some_of(inside)}")
    return [f"Left out, because nothing here reads them: {some_of(extra)}."] if extra else []


def _looked_up(tensors: SafetensorsFiles, keys: CheckpointKeys) -> dict[str, KeyLocation]:
    """Where each weight lies in this very file."""
    if any(name.startswith(keys.backbone[0]) for name in tensors.shapes):
        return locate_keys({name: KeyLocation(name) for name in keys.locations}, tensors.shapes)
    return locate_keys(keys.locations, tensors.shapes)


def _read(tensors: SafetensorsFiles, place: KeyLocation, like: Tensor) -> Tensor:
    """Read one of our weights from the file."""
    return picked(tensors.__getitem__, place).reshape(like.shape)


def _difference(name: str, value: Tensor, before: Tensor) -> dict[str, Tensor]:
    """What was learned of one weight, by its name: nothing, if it only was rounded."""
    # Compared in the file's own precision: what only was rounded when the file was written was not learned.
    if torch.equal(value.float(), before.to(value.dtype).float()):
        return {}
    return {name: (value.float() - before.float()).to(torch.bfloat16).contiguous()}


def _alike(value: Tensor, weight: Tensor) -> bool:
    return torch.allclose(value.float(), weight.float(), rtol=1e-2, atol=1e-3)
