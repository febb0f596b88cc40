"""Write a subject as files that other programs read: a diffusers folder, a single file, or a LoRA file."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.contract.conversion import ExportRequest
from storage.errors import UserError
from trainer.conversion.lora_extraction import RANK, extract
from trainer.dreambooth import lora
from trainer.dreambooth.prompts import instance_prompt
from trainer.dreambooth.weights import ADAPTERS, load_learned
from trainer.models.base import BaseModel, load_base
from trainer.models.safetensors_files import SafetensorsFiles
from trainer.models.versions import BaseModelVersion, is_other, sentence

LOADS = {
    "diffusers": 'pipeline = {pipeline}.from_pretrained("this folder")',
    "single": 'pipeline = {pipeline}.from_single_file("{name}.safetensors", config="{base}")',
    "lora": 'pipeline = {pipeline}.from_pretrained("{base}")\n    pipeline.load_lora_weights("{name}.safetensors")',
}
README = """{name}: a {noun}, learned with Darkroom

Write `{identifier} {noun}` where a prompt means {name}:

    {instance}
    a {identifier} {noun} in Paris
    a drawing of a {identifier} {noun}, watercolour

Base model: {base}

With diffusers:

    from diffusers import {pipeline}
    {loads}
    pipeline("a {identifier} {noun} in Paris").images[0].save("{name}.png")

Back into Darkroom:

    darkroom import {file} --name {name} --class "{noun}" --trigger "{identifier}"
"""
WEB_UI = """
In AUTOMATIC1111, Forge and ComfyUI the file belongs into the folder of {shelf}.
"""
SHELVES = {"single": "checkpoints", "lora": "LoRAs"}
ARCHITECTURE = "modelspec.architecture"


def export(request: ExportRequest, doing: Callable[[str], None]) -> str:
    """Write the files into the folder; return what there is to say of them. Raises UserError or SetupError."""
    doing("Loading the base model")
    # In float32 even for a half-precision export: the sum is rounded once, at the end.
    base = load_base(request.base_model, precision="float32")
    note = _check_base(request, base)
    try:
        doing("Writing the files")
        says = " ".join(filter(None, [note, WRITERS[request.format](request, base)]))
    except ValueError as error:  # what was learned does not fit, or a network has parts without a name
        raise UserError(f"{request.name} cannot be exported so: {error}.") from error
    readme = Path(request.folder) / "README.txt"
    readme.write_text(_readme(request, base))
    for file in Path(request.folder).rglob("*.safetensors"):
        shutil.copymode(readme, file)  # safetensors writes for its own user alone
    return says


def _check_base(request: ExportRequest, base: BaseModel) -> str:
    """Raise UserError for differences to another base model; return what there is to say of adapters for it."""
    if not is_other(BaseModelVersion(request.base_revision, request.base_sha256), base.version, base.folder):
        return ""
    warning = sentence(request.name, request.learned_from)
    # By the header alone: a file of gigabytes is not read to be refused.
    if not any(name.endswith(lora.DOWN) for name in SafetensorsFiles([("", Path(request.weights))]).shapes):
        raise UserError(warning)
    return warning


def _diffusers_folder(request: ExportRequest, base: BaseModel) -> str:
    _merge(request, base)
    pipeline = base.files().pipeline()
    for part in base.parts.values():
        part.to(_precision(request))
    pipeline.save_pretrained(request.folder)
    return ""


def _single_file(request: ExportRequest, base: BaseModel) -> str:
    _merge(request, base)
    _save(request, base.files().single_file(), _precision(request), _description(request, base))
    return ""


def _lora_file(request: ExportRequest, base: BaseModel) -> str:
    weights, says = load_file(request.weights), ""
    if not lora.is_lora(weights):
        rank = request.rank or RANK
        drawn = extract(weights, base.denoiser, rank)
        says = f"At rank {rank} it keeps {_percent(drawn.kept)} of what was learned"
        if drawn.elsewhere:
            says += f"; {_percent(drawn.elsewhere)} is in embeddings, norms and biases, which a LoRA file cannot hold"
        weights, says = drawn.adapters, f"{says}."
    elif request.rank:
        raise UserError(f"{request.name} was learned by LoRA and has its rank: leave --rank out.")
    description = {**_description(request, base, "/lora"), **_ranks(weights)}
    weights = base.files().lora_file(weights)
    _save(request, weights, torch.float32 if request.precision == "full" else None, {**description, **ADAPTERS})
    return says


WRITERS: dict[str, Callable[[ExportRequest, BaseModel], str]] = {
    "diffusers": _diffusers_folder,
    "single": _single_file,
    "lora": _lora_file,
}


def _merge(request: ExportRequest, base: BaseModel) -> None:
    """Put what was learned into the base model itself: this process has no other use for it."""
    load_learned(Path(request.weights), base.denoiser, base.denoiser)


def _precision(request: ExportRequest) -> torch.dtype:
    return torch.float16 if request.precision == "half" else torch.float32


def _save(
    request: ExportRequest, weights: dict[str, Tensor], precision: torch.dtype | None, description: dict[str, str]
) -> None:
    """Write the one file; without `precision` its weights stay as they are."""
    tensors = {name: weight.detach().to("cpu", precision).contiguous() for name, weight in weights.items()}
    save_file(tensors, Path(request.folder) / f"{request.name}.safetensors", description)


def _ranks(adapters: Mapping[str, Tensor]) -> dict[str, str]:
    """Rank and alpha as kohya's scripts tell them."""
    ranks = {str(len(weight)) for name, weight in adapters.items() if name.endswith(lora.DOWN)}
    alphas = {f"{float(weight):g}" for name, weight in adapters.items() if name.endswith(lora.ALPHA)} or ranks
    metadata = {"ss_network_dim": ranks, "ss_network_alpha": alphas}
    return {name: values.pop() if len(values) == 1 else "Dynamic" for name, values in metadata.items()}


def _description(request: ExportRequest, base: BaseModel, kind: str = "") -> dict[str, str]:
    """Metadata of an exported file, by Stability AI's ModelSpec and kohya's scripts."""
    metadata = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": request.name,
        "ss_output_name": request.name,
        "modelspec.trigger_phrase": f"{request.identifier} {request.noun}",
        **base.files().metadata(),
    }
    if ARCHITECTURE in metadata:
        metadata[ARCHITECTURE] += kind
    return metadata


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < 0.995 else f"{share:.1%}"


def _readme(request: ExportRequest, base: BaseModel) -> str:
    path, files = Path(request.base_model), base.files()
    words = {
        "name": request.name,
        "noun": request.noun,
        "identifier": request.identifier,
        "base": path.name if path.exists() else request.base_model,
        "pipeline": files.pipeline_class,
    }
    note = README.format(
        **words,
        instance=instance_prompt(request.identifier, request.noun),
        loads=LOADS[request.format].format(**words),
        file="FOLDER" if request.format == "diffusers" else f"{request.name}.safetensors",
    )
    if files.shown_name and request.format in SHELVES:  # web UIs know no others
        note += WEB_UI.format(shelf=SHELVES[request.format])
        note += files.hint if request.format == "single" else ""
    return note
