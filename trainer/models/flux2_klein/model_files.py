"""What files of other programs have of a FLUX.2 [klein]: diffusers' folders, and LoRA with diffusers' names."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffusers import Flux2KleinPipeline
from torch import Tensor

from trainer.models.file_kinds import Unusable
from trainer.models.flux2_klein.family import FLUX2_KLEIN, PIPELINE
from trainer.models.model_files import CheckpointKeys, ModelFiles
from trainer.models.safetensors_files import SafetensorsFiles

if TYPE_CHECKING:
    from trainer.models.flux2_klein.model import Flux2Klein


class Flux2KleinFiles(ModelFiles):
    """See `ModelFiles`."""

    pipeline_class, shown_name, hint = PIPELINE, FLUX2_KLEIN.name, ""

    def __init__(self, base: "Flux2Klein") -> None:
        self.base = base

    def pipeline(self) -> Any:
        """See `ModelFiles`."""
        parts = {**self.base.parts, "tokenizer": self.base.tokenizer, "scheduler": self.base.scheduler}
        return Flux2KleinPipeline(**parts, is_distilled=self.base.distilled)

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
        """Nothing that other programs look for."""
        return {}

    def layer_names(self) -> dict[str, str]:
        """Diffusers' names, behind those of the part or of ComfyUI's prefix."""
        known: dict[str, str] = {}
        for path in self.base.denoiser.file_names():
            own = path.removeprefix("transformer.").replace(".", "_")
            known |= {f"transformer_{own}": path, f"diffusion_model_{own}": path, own: path}
        return known

    def checkpoint_keys(self) -> CheckpointKeys:
        """None are read yet."""
        raise Unusable(f"of files for a {self.shown_name}, only LoRA is read")

    def check_noise(self, tensors: SafetensorsFiles) -> str:
        """All predict the same."""
        return ""

    def seems_for(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Not known."""
        return ""

    def other_family(self, metadata: Mapping[str, str]) -> str:
        """Not known."""
        return ""
