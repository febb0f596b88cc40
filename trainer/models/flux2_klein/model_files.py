"""What files of other programs call the layers of a FLUX.2 [klein]."""

import re
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.models.dit.model_files import DitFiles, Renames
from trainer.models.flux2_klein.family import FLUX2_KLEIN

if TYPE_CHECKING:
    from trainer.models.flux2_klein.model import Flux2Klein


class Flux2KleinFiles(DitFiles):
    """See `DitFiles`."""

    pipeline_class, shown_name, architecture = FLUX2_KLEIN.pipeline, FLUX2_KLEIN.name, "Flux.2-klein"
    # https://github.com/black-forest-labs/flux2, src/flux2/model.py, which ComfyUI, ai-toolkit and musubi-tuner follow.
    # Its last modulation is left out: shift and scale stand there in the other order.
    renames: ClassVar[Renames] = (
        (re.compile(r"single_transformer_blocks\.(\d+)\.attn\.to_qkv_mlp_proj"), r"single_blocks.\1.linear1"),
        (re.compile(r"single_transformer_blocks\.(\d+)\.attn\.to_out"), r"single_blocks.\1.linear2"),
        (re.compile(r"transformer_blocks\.(\d+)\.attn\.to_[qkv]"), r"double_blocks.\1.img_attn.qkv"),
        (re.compile(r"transformer_blocks\.(\d+)\.attn\.add_[qkv]_proj"), r"double_blocks.\1.txt_attn.qkv"),
        (re.compile(r"transformer_blocks\.(\d+)\.attn\.to_out\.0"), r"double_blocks.\1.img_attn.proj"),
        (re.compile(r"transformer_blocks\.(\d+)\.attn\.to_add_out"), r"double_blocks.\1.txt_attn.proj"),
        (re.compile(r"transformer_blocks\.(\d+)\.ff\.linear_in"), r"double_blocks.\1.img_mlp.0"),
        (re.compile(r"transformer_blocks\.(\d+)\.ff\.linear_out"), r"double_blocks.\1.img_mlp.2"),
        (re.compile(r"transformer_blocks\.(\d+)\.ff_context\.linear_in"), r"double_blocks.\1.txt_mlp.0"),
        (re.compile(r"transformer_blocks\.(\d+)\.ff_context\.linear_out"), r"double_blocks.\1.txt_mlp.2"),
        (re.compile(r"x_embedder"), "img_in"),
        (re.compile(r"context_embedder"), "txt_in"),
        (re.compile(r"time_guidance_embed\.timestep_embedder\.linear_1"), "time_in.in_layer"),
        (re.compile(r"time_guidance_embed\.timestep_embedder\.linear_2"), "time_in.out_layer"),
        (re.compile(r"(\w+_modulation(?:_img|_txt)?)\.linear"), r"\1.lin"),
        (re.compile(r"proj_out"), "final_layer.linear"),
    )

    def __init__(self, base: "Flux2Klein") -> None:
        super().__init__(base)
        self.distilled = base.distilled

    def pipeline_settings(self) -> dict[str, Any]:
        """See `DitFiles`."""
        return {"is_distilled": self.distilled}
