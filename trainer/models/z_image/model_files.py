"""What files of other programs call the layers of a Z-Image."""

import re
from typing import ClassVar

from trainer.models.dit.model_files import DitFiles, Renames
from trainer.models.z_image.family import Z_IMAGE


class ZImageFiles(DitFiles):
    """See `DitFiles`."""

    pipeline_class, shown_name, architecture = Z_IMAGE.pipeline, Z_IMAGE.name, "z-image"
    # https://github.com/Tongyi-MAI/Z-Image, src/zimage/transformer.py, which ComfyUI and musubi-tuner follow
    renames: ClassVar[Renames] = (
        (re.compile(r"(.+\.attention)\.to_[qkv]"), r"\1.qkv"),
        (re.compile(r"(.+\.attention)\.to_out\.0"), r"\1.out"),
        (re.compile(r"all_x_embedder\.2-1"), "x_embedder"),
        (re.compile(r"all_final_layer\.2-1\.(.+)"), r"final_layer.\1"),
    )
