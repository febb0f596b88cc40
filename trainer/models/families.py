"""The families of base models that Darkroom knows, and which of them a model is of. Without torch."""

from collections.abc import Collection
from pathlib import Path

from storage.errors import SetupError
from trainer.models.diffusers_layout import INDEX, config_of, lies_in, names_in
from trainer.models.family import Family, Index, SingleFiles
from trainer.models.flux2_klein.family import FLUX2_KLEIN
from trainer.models.krea2.family import KREA2
from trainer.models.stable_diffusion.family import SD1, SD2, SDXL
from trainer.models.stable_diffusion.layout import WANTED
from trainer.models.z_image.family import Z_IMAGE

OF_UNETS = ("StableDiffusionPipeline", "StableDiffusionXL")  # pipelines that Darkroom knows, without a transformer
FAMILIES: tuple[Family, ...] = (SD1, SD2, SDXL, FLUX2_KLEIN, Z_IMAGE, KREA2)
NETWORKS = tuple(dict.fromkeys(part for family in FAMILIES for part in family.networks))
BACKBONES = tuple(dict.fromkeys(family.networks[0] for family in FAMILIES))
ELSE = SD1  # whose sentences say what else a model may be


def family_of(folder: Path) -> Family:
    """The family of a base model in diffusers' layout; the first one where its settings do not say."""
    names = names_in(folder)
    known = [family for family in FAMILIES if family.recognises(names, lambda: config_of(folder, INDEX))]
    return next((family for family in known if family.is_of(folder)), ELSE)


def recognised(names: Collection[str], index: Index) -> Family:
    """The family of a model by the names of its files; any variant of it, which only its settings tell apart."""
    return next((family for family in FAMILIES if family.recognises(names, index)), ELSE)


def check_pipeline(names: Collection[str], index: Index, called: str) -> None:
    """Raise SetupError for a transformer whose index names a pipeline of no family; the model is `called` so."""
    if INDEX not in names or not any(lies_in(name, "transformer") for name in names):
        return
    if any(family.recognises(names, index) for family in FAMILIES):
        return
    pipeline = str(index().get("_class_name") or "")
    if pipeline and not pipeline.startswith(OF_UNETS):
        raise SetupError(f"{called} is for diffusers' {pipeline}, which Darkroom does not know. {WANTED}")


def seems_for(layers: Collection[str]) -> str:
    """The name of the family that a file with these names of layers seems to be for; empty if that is not known."""
    marked = ((family.name, family.layer_marks) for family in FAMILIES if family.layer_marks)
    return next((name for name, marks in marked if any(marks.search(layer) for layer in layers)), "")


def single_files(path: Path) -> SingleFiles:
    """What reads a base model in a single file, and says what else a file is. Imports torch."""
    from trainer.models.safetensors_files import tensor_names

    names = tensor_names(path)
    known = (family for family in FAMILIES if family.file_mark and any(map(family.file_mark.search, names)))
    return next(known, ELSE).single_files()
