"""Take a LoRA or a whole checkpoint that others have trained as what a training of ours would have left."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from storage.contract.conversion import ConversionResult, ImportRequest
from storage.contract.jobs import Method
from storage.errors import UserError
from trainer.conversion import lora_formats
from trainer.conversion.file_formats import TAKES, OpenedFiles, open_foreign
from trainer.conversion.peft_config import PeftSettings, Unusable
from trainer.dreambooth import lora
from trainer.dreambooth.weights import ADAPTERS, DIFFERENCES
from trainer.models.base import BaseModel, load_base
from trainer.models.diffusers_layout import some_of
from trainer.models.families import BY_WIDTH, SDXL, family_told, seems_for
from trainer.models.file_kinds import kind_of, other_model
from trainer.models.key_aliases import check_fit, locate_keys, unread_keys
from trainer.models.ldm_keys import UNET_PREFIX, VAE_PREFIX, KeyLocation, picked, places
from trainer.models.prediction_type import PREDICTION, RESCALE, in_words, noise_schedule_of
from trainer.models.safetensors_files import SafetensorsFiles

OWN_VAE = "It brings a VAE of its own, which is left out: the base model's draws."
LORA = "a LoRA"  # as file_kinds.py calls it
NETWORKS = ("unet.", "text_encoder", UNET_PREFIX, "cond_stage_model.", "conditioner.")
OTHER_NOISE = "It was trained on a noise schedule that ends in nothing but noise, and the base model's does not."
OWN_TEXT = "It brings no text encoder, so the base model's reads."


def import_file(request: ImportRequest, doing: Callable[[str], None]) -> ConversionResult:
    """Write the weights of a subject; raises UserError for a file that cannot be one, and SetupError."""
    path = Path(request.file)
    doing("Reading the file")
    foreign = open_foreign(path)
    doing("Loading the base model")
    # In half precision the differences that were learned would vanish in rounding.
    base = load_base(request.base_model, precision="float32")
    method: Method = "lora" if lora_formats.is_lora(foreign.tensors) else "full"
    try:
        note = _check_schedule(foreign.tensors, base)
        doing("Comparing them")
        weights, says = (_adapters if method == "lora" else _differences)(
            foreign, base, places(base.denoiser, base.vae)
        )
    except Unusable as error:
        raise UserError(f"{path.name} cannot be used: {error}.") from error
    except ValueError as error:
        raise _misfit(path, foreign.tensors, base, str(error)) from error
    if not _are_numbers(weights):
        raise UserError(f"{path.name} is damaged: not all of its weights are numbers.")
    save_file(weights, request.weights, ADAPTERS if method == "lora" else DIFFERENCES)
    revision, sha256 = base.version
    says = " ".join(filter(None, (says, note, _other_family(foreign.tensors, base))))
    return ConversionResult(state="done", says=says, method=method, base_revision=revision, base_sha256=sha256)


def _check_schedule(tensors: SafetensorsFiles, base: BaseModel) -> str:
    """Refuse what says that it predicts the other thing: its shapes alone would fit. Return what else there is to say.

    Raises Unusable where a file contradicts itself, and ValueError.
    """
    try:
        schedule = noise_schedule_of(tensors.shapes, tensors.metadata)
    except ValueError as error:
        raise Unusable(str(error)) from error
    # A velocity model read as an epsilon model draws noise, and nothing in its shapes tells the two apart.
    ours = base.scheduler.config.prediction_type
    if (predicts := schedule.get(PREDICTION, ours)) != ours:
        raise ValueError(f"it predicts {in_words(predicts)}, the base model {in_words(ours)}")
    return OTHER_NOISE if schedule.get(RESCALE) and not base.scheduler.config.rescale_betas_zero_snr else ""


def _adapters(foreign: OpenedFiles, base: BaseModel, where: Mapping[str, KeyLocation]) -> tuple[dict[str, Tensor], str]:
    """The adapters of a LoRA file, and what there is to say of it."""
    beside = PeftSettings.of_files(foreign.settings)
    parsed, embeddings = lora_formats.read_lora(foreign.tensors, base.denoiser, where, beside)
    _check_effect(parsed, lora.deltas(parsed, base.denoiser))
    words = ", ".join(f"“{word}”" for word in embeddings)
    plural = "s" if len(embeddings) > 1 else ""
    return (
        parsed,
        f"Its embedding{plural} {words} cannot be taken, so the word{plural} will mean nothing." if words else "",
    )


def _check_effect(kept: Mapping[str, Tensor], added: Mapping[str, Tensor]) -> None:
    """Raise Unusable for adapters that add nothing to the base model, or more than can be computed with."""
    # A LoRA starts with zeros in one matrix of each pair: a file of an untrained one is valid and useless.
    if not any(weight.any() for weight in added.values()):
        raise Unusable("nothing was learned in it: all that it adds to the base model is zero")
    if _are_numbers(kept) and not _are_numbers(added):
        raise Unusable("its matrices multiplied by its alphas are too large to be computed with")


def _are_numbers(weights: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in weights.values())


def _other_family(tensors: SafetensorsFiles, base: BaseModel) -> str:
    """A note if a file was made for another family by its metadata: one for a text encoder alone fits several."""
    told, ours = family_told(tensors.metadata), BY_WIDTH.get(base.denoiser.unet.config.cross_attention_dim)
    two = base.denoiser.text_encoder_2 is not None
    if told is None or (told is ours if ours else (told is SDXL) == two):
        return ""
    return f"By its metadata it was made for {told.name}, and the base model is another."


def _misfit(path: Path, tensors: SafetensorsFiles, base: BaseModel, why: str) -> UserError:
    seems = seems_for(tensors.shapes.items()) or other_model(tensors.shapes)
    ours = BY_WIDTH.get(base.denoiser.unet.config.cross_attention_dim)
    if seems and not (ours and ours.name == seems):
        here = f", and the one here is a {ours.name}" if ours else ""
        return UserError(f"{path.name} does not fit the base model: it seems to be for {seems}{here}.")
    return UserError(f"{path.name} does not fit the base model: {why}.")


def _differences(
    foreign: OpenedFiles, base: BaseModel, where: Mapping[str, KeyLocation]
) -> tuple[dict[str, Tensor], str]:
    """What a checkpoint adds to the weights of the base model, and what there is to say of it."""
    tensors = foreign.tensors
    if not any(name.startswith(("unet.", UNET_PREFIX)) for name in tensors.shapes):
        kind = kind_of(tensors.shapes)
        if kind == LORA:
            raise Unusable(
                f"its matrices are called in a way that Darkroom does not know: {some_of([*tensors.shapes])}"
            )
        why = f"it is {kind}" if kind else "it is neither a LoRA nor a checkpoint of Stable Diffusion"
        raise Unusable(f"{why}. {TAKES}")
    looked_up = _looked_up(tensors, where)
    there = {name for name, place in looked_up.items() if place.name in tensors.shapes}
    named, notes = base.denoiser.state_dict(), []
    # Checkpoints often leave out text encoders that were not trained; the base model's are used then.
    for network in ("text_encoder", "text_encoder_2"):
        of_network = {name for name in named if name.startswith(f"{network}.")}
        if not of_network & there:
            notes += [OWN_TEXT] if network == "text_encoder" else []
            named = {name: weight for name, weight in named.items() if name not in of_network}
    if missing := [looked_up[name].name for name in named if name not in there]:
        raise ValueError(f"it has no {some_of(missing)}")
    check_fit({name: looked_up[name] for name in named}, named, tensors.shapes)
    notes += _left_out(tensors, looked_up)
    differences: dict[str, Tensor] = {}
    for name, before in named.items():
        differences |= _difference(name, _read(tensors, looked_up[name], before), before.cpu())
    if not differences:
        raise Unusable("it is the base model itself, and nothing in it was learned")
    return differences, " ".join([*notes, OWN_VAE] if _has_own_vae(tensors, looked_up, base) else notes)


def _has_own_vae(tensors: SafetensorsFiles, where: Mapping[str, KeyLocation], base: BaseModel) -> bool:
    """Whether a checkpoint has another VAE than the base model."""
    vae = {f"vae.{name}": weight.cpu() for name, weight in base.vae.state_dict().items()}
    there = {name: where[name] for name in vae if where[name].name in tensors.shapes}
    try:
        check_fit(there, vae, tensors.shapes)
    except ValueError:
        return True
    return any(not _alike(_read(tensors, place, vae[name]), vae[name]) for name, place in there.items())


def _left_out(tensors: SafetensorsFiles, where: Mapping[str, KeyLocation]) -> list[str]:
    """Notes on what else is in a checkpoint; raises ValueError where that belongs to the networks."""
    extra = [name for name in unread_keys(where, tensors.shapes) if not name.startswith(VAE_PREFIX)]
    if inside := [name for name in extra if name.startswith(NETWORKS)]:
        raise ValueError(f"it has weights that the base model has not: {some_of(inside)}")
    return [f"Left out, because nothing here reads them: {some_of(extra)}."] if extra else []


def _looked_up(tensors: SafetensorsFiles, where: Mapping[str, KeyLocation]) -> dict[str, KeyLocation]:
    """Where each weight lies in this very file."""
    if any(name.startswith("unet.") for name in tensors.shapes):
        return locate_keys({name: KeyLocation(name) for name in where}, tensors.shapes)
    return locate_keys(where, tensors.shapes)


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
