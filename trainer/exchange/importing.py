"""Take a LoRA or a whole checkpoint that others have trained as what a training of ours would have left."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from storage.errors import UserError
from storage.exchange import Ended, ImportRequest
from trainer.base_models.families import BY_WIDTH, seems_for
from trainer.base_models.headers import schedule_said
from trainer.base_models.ldm_names import UNET_PREFIX, Place, picked, places
from trainer.exchange import foreign_lora
from trainer.exchange.foreign_files import TAKES, Tensors, open_foreign
from trainer.models import BaseModel, load_base
from trainer.training import lora
from trainer.training.weights import ADAPTERS, DIFFERENCES

OWN_VAE = "It brings a VAE of its own, which is left out: the base model's draws."
OWN_TEXT = "It brings no text encoder, so the base model's reads."


def import_file(request: ImportRequest, doing: Callable[[str], None]) -> Ended:
    """Write the weights of a subject; raises UserError for a file that cannot be one, and SetupError."""
    path = Path(request.file)
    doing("Reading the file")
    tensors = open_foreign(path)
    doing("Loading the base model")
    base = load_base(request.base_model, precision="float32")
    try:
        _check_prediction(tensors, base)
        where = places(base.denoiser, base.vae)
        doing("Comparing them")
        if foreign_lora.is_lora(tensors):
            kept, says, method = foreign_lora.read_lora(tensors, base.denoiser, where), "", "lora"
            lora.deltas(kept, base.denoiser)
        else:
            kept, says, method = *_differences(tensors, base, where), "full"
    except ValueError as error:
        raise _misfit(path, tensors, base, str(error)) from error
    if not all(torch.isfinite(weight).all() for weight in kept.values()):
        raise UserError(f"{path.name} is damaged: not all of its weights are numbers.")
    save_file(kept, request.weights, ADAPTERS if method == "lora" else DIFFERENCES)
    revision, sha256 = base.version
    return Ended(state="done", says=says, method=method, base_revision=revision, base_sha256=sha256)


def _check_prediction(tensors: Tensors, base: BaseModel) -> None:
    """Refuse what says that it predicts the other thing: its shapes alone would fit."""
    words = {"v_prediction": "velocity", "epsilon": "noise"}
    told = schedule_said(tensors.shapes, tensors.metadata).get("prediction_type")
    ours = base.scheduler.config.prediction_type
    if told and told != ours:
        raise ValueError(f"it predicts {words.get(told, told)}, the base model {words[ours]}")


def _misfit(path: Path, tensors: Tensors, base: BaseModel, why: str) -> UserError:
    seems = seems_for(tensors.shapes.items())
    ours = BY_WIDTH.get(base.denoiser.unet.config.cross_attention_dim)
    if seems and not (ours and ours.name == seems):
        here = f", and the one here is a {ours.name}" if ours else ""
        return UserError(f"{path.name} does not fit the base model: it seems to be for {seems}{here}.")
    return UserError(f"{path.name} does not fit the base model: {why}.")


def _differences(tensors: Tensors, base: BaseModel, where: Mapping[str, Place]) -> tuple[dict[str, Tensor], str]:
    """What a checkpoint adds to the weights of the base model, and what there is to say of it."""
    looked_up = _looked_up(tensors, where)
    there = {name for name, place in looked_up.items() if place.name in tensors.shapes}
    found: dict[str, Tensor] = {}
    notes: list[str] = []
    for network in ("unet", "text_encoder", "text_encoder_2"):
        named = {name: w for name, w in base.denoiser.state_dict().items() if name.startswith(f"{network}.")}
        if not named.keys() & there and network != "unet":
            notes += [OWN_TEXT] if network == "text_encoder" else []
            continue
        for name, before in named.items():
            found |= _difference(name, _read(tensors, looked_up[name], before), before.cpu())
    if not found:
        raise ValueError("it is the base model itself, and nothing in it was learned")
    vae = {f"vae.{name}": weight.cpu() for name, weight in base.vae.state_dict().items()}
    other = (not _alike(_read(tensors, looked_up[name], vae[name]), vae[name]) for name in vae.keys() & there)
    return found, " ".join([*notes, OWN_VAE] if any(other) else notes)


def _looked_up(tensors: Tensors, where: Mapping[str, Place]) -> dict[str, Place]:
    """Where each weight lies in this very file."""
    if any(name.startswith("unet.") for name in tensors.shapes):
        return {name: Place(name.replace(".text_model.", ".")) for name in where}
    if not any(name.startswith(UNET_PREFIX) for name in tensors.shapes):
        raise ValueError(f"it is neither a LoRA nor a checkpoint of Stable Diffusion. {TAKES}")
    if any(place.name in tensors.shapes for name, place in where.items() if name.startswith("text_encoder.")):
        return dict(where)
    return {  # some of SD 1.x were saved with a CLIP of one level less
        name: place._replace(name=place.name.replace(".transformer.text_model.", ".transformer."))
        for name, place in where.items()
    }


def _read(tensors: Tensors, place: Place, like: Tensor) -> Tensor:
    """One weight of ours out of the file; raises ValueError if it is not there, or of another shape."""
    if place.name not in tensors.shapes:
        raise ValueError(f"it has no {place.name}")
    value = picked(tensors.__getitem__, place)
    if value.shape[:1] != like.shape[:1] or value.numel() != like.numel():
        raise ValueError(f"{place.name} has another shape")
    return value.reshape(like.shape)


def _difference(name: str, value: Tensor, before: Tensor) -> dict[str, Tensor]:
    """What was learned of one weight, by its name: nothing, if it only was rounded."""
    if torch.equal(value, before.to(value.dtype)):
        return {}
    return {name: (value.float() - before.float()).to(torch.bfloat16).contiguous()}


def _alike(value: Tensor, weight: Tensor) -> bool:
    return torch.allclose(value.float(), weight.float(), rtol=1e-2, atol=1e-3)
