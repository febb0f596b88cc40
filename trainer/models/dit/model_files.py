"""What files of other programs have of a diffusion transformer: diffusers' folders, and LoRA in several styles."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import diffusers
from torch import Tensor

from trainer.models.file_kinds import UnusableFile
from trainer.models.model_files import CheckpointKeys, ModelFiles
from trainer.models.safetensors_files import SafetensorsFiles

if TYPE_CHECKING:
    from trainer.models.dit.model import DitModel

PREFIXES = (  # of the names of layers in LoRA files
    "transformer",  # diffusers, SimpleTuner
    "diffusion_model",  # ComfyUI, ai-toolkit
    "lora_unet",  # musubi-tuner, kohya's scripts
    "lora_transformer",  # OneTrainer
    "lycoris",
    "",  # DiffSynth, peft
)
STABLE_DIFFUSION = re.compile(r"(down|up|input|output)_blocks[._]\d|mid(dle)?_block[._]|lora_te\d?_|text_model[._]")

Renames = tuple[tuple[re.Pattern[str], str], ...]


class DitFiles(ModelFiles):
    """See `ModelFiles`."""

    hint = ""
    architecture: ClassVar[str]  # in Stability AI's ModelSpec
    renames: ClassVar[Renames]  # what its makers call layers; those of one name are one layer there, one below another

    def __init__(self, base: "DitModel") -> None:
        self.base = base

    def pipeline_settings(self) -> dict[str, Any]:
        """What the pipeline is told besides its parts."""
        return {}

    def pipeline(self) -> Any:
        """See `ModelFiles`."""
        parts = {**self.base.parts, "tokenizer": self.base.tokenizer, "scheduler": self.base.scheduler}
        return getattr(diffusers, self.pipeline_class)(**parts, **self.pipeline_settings())

    def single_file(self) -> dict[str, Tensor]:
        """None is written yet."""
        raise ValueError(f"a {self.shown_name} is written as a folder of diffusers or as a LoRA file")

    def lora_file(self, adapters: dict[str, Tensor]) -> dict[str, Tensor]:
        """As diffusers names them, `transformer.….lora_A.weight`, which ComfyUI reads, too; alpha is multiplied out."""
        named: dict[str, Tensor] = {}
        for path, name in self.base.denoiser.file_names().items():
            if (down := adapters.get(f"{name}.lora_down.weight")) is not None:
                alpha = float(adapters.get(f"{name}.alpha", len(down)))
                up = adapters[f"{name}.lora_up.weight"]
                named |= {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up * (alpha / len(down))}
        return named

    def metadata(self) -> dict[str, str]:
        """See `ModelFiles`."""
        return {"modelspec.architecture": self.architecture}

    def layer_names(self) -> dict[str, tuple[str, ...]]:
        """By diffusers' names and its makers', behind any of the prefixes."""
        called: dict[str, tuple[str, ...]] = {}
        for own, makers in self.makers_names().items():
            for name in {own, makers}:
                called[name] = (*called.get(name, ()), f"transformer.{own}")
        flat = ((f"{prefix}_{name}".lstrip("_"), paths) for name, paths in called.items() for prefix in PREFIXES)
        return {name.replace(".", "_"): paths for name, paths in flat}

    def makers_names(self) -> dict[str, str]:
        """What the makers call each module of the transformer, by diffusers' paths: the same where they rename none."""
        modules = (path.removeprefix("transformer.") for path in self.base.denoiser.file_names())
        return {own: self._makers_name(own) for own in modules}

    def _makers_name(self, own: str) -> str:
        found = ((pattern.fullmatch(own), other) for pattern, other in self.renames)
        return next((match.expand(other) for match, other in found if match), own)

    def checkpoint_keys(self) -> CheckpointKeys:
        """None are read yet."""
        raise UnusableFile(f"of files for a {self.shown_name}, only LoRA is read")

    def check_noise(self, tensors: SafetensorsFiles) -> str:
        """All predict the same."""
        return ""

    def seems_for(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Files for a UNet or its text encoders are told by their layers; which of them it is, is not."""
        return "Stable Diffusion" if any(map(STABLE_DIFFUSION.search, shapes)) else ""

    def other_family(self, metadata: Mapping[str, str]) -> str:
        """Not known."""
        return ""
