"""What files of other programs call the layers of a Krea 2."""

import re
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.models.diffusers_layout import INDEX, config_of
from trainer.models.dit.model_files import DitFiles, Renames
from trainer.models.krea2.family import KREA2

if TYPE_CHECKING:
    from trainer.models.krea2.model import Krea2

SETTINGS = ("text_encoder_select_layers", "is_distilled", "patch_size")  # of the pipeline, in its index


class Krea2Files(DitFiles):
    """See `DitFiles`."""

    pipeline_class, shown_name, architecture = KREA2.pipeline, KREA2.name, "krea-2"
    # https://github.com/krea-ai/krea-2, whose names ComfyUI, ai-toolkit and musubi-tuner have
    renames: ClassVar[Renames] = (
        (re.compile(r"transformer_(blocks\.\d+)\.attn\.to_([qkv])"), r"\1.attn.w\2"),
        (re.compile(r"transformer_(blocks\.\d+)\.attn\.to_out\.0"), r"\1.attn.wo"),
        (re.compile(r"transformer_(blocks\.\d+)\.attn\.to_gate"), r"\1.attn.gate"),
        (re.compile(r"transformer_(blocks\.\d+)\.ff\.(gate|up|down)"), r"\1.mlp.\2"),
        (re.compile(r"text_fusion\.(\w+_blocks\.\d+)\.attn\.to_([qkv])"), r"txtfusion.\1.attn.w\2"),
        (re.compile(r"text_fusion\.(\w+_blocks\.\d+)\.attn\.to_out\.0"), r"txtfusion.\1.attn.wo"),
        (re.compile(r"text_fusion\.(\w+_blocks\.\d+)\.attn\.to_gate"), r"txtfusion.\1.attn.gate"),
        (re.compile(r"text_fusion\.(\w+_blocks\.\d+)\.ff\.(gate|up|down)"), r"txtfusion.\1.mlp.\2"),
        (re.compile(r"text_fusion\.projector"), "txtfusion.projector"),
        (re.compile(r"img_in"), "first"),
        (re.compile(r"final_layer\.linear"), "last.linear"),
        (re.compile(r"time_embed\.linear_1"), "tmlp.0"),
        (re.compile(r"time_embed\.linear_2"), "tmlp.2"),
        (re.compile(r"time_mod_proj"), "tproj.1"),
        (re.compile(r"txt_in\.linear_1"), "txtmlp.1"),
        (re.compile(r"txt_in\.linear_2"), "txtmlp.3"),
    )

    def __init__(self, base: "Krea2") -> None:
        super().__init__(base)
        self.index = config_of(base.folder, INDEX)

    def pipeline_settings(self) -> dict[str, Any]:
        """See `DitFiles`."""
        return {name: self.index[name] for name in SETTINGS if name in self.index}
