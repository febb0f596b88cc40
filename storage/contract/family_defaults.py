"""What is usual for each family of base models and each method: published defaults, with where they are published."""

from typing import NamedTuple

from storage.contract.jobs import Method

SD1, SD2, SDXL = "Stable Diffusion 1.x", "Stable Diffusion 2.x", "Stable Diffusion XL"


class FamilyDefaults(NamedTuple):
    """How a family is usually learned by one method, by the names of a recipe's fields."""

    learning_rate: float
    text_learning_rate: float
    steps: int
    accumulation: int = 1


# https://github.com/huggingface/diffusers, examples/dreambooth/README.md: with `--train_text_encoder`, and with LoRA,
# where the rate of text encoders is that of https://github.com/kohya-ss/sd-scripts, docs/train_network. For Stable
# Diffusion 2 it says to change nothing but the number of pixels.
SD_FULL = FamilyDefaults(2e-6, 2e-6, 800)
SD_LORA = FamilyDefaults(1e-4, 5e-5, 500)

# diffusers, examples: LoRA as in dreambooth/README_sdxl.md. It has no DreamBooth of SDXL in full: rate and accumulation
# are those of text_to_image/README_sdxl.md, the steps those of DreamBooth. Both leave the two text encoders as they
# are, which sd-scripts, docs/train_SDXL, highly recommends for LoRA.
SDXL_FULL = FamilyDefaults(1e-6, 0, 800, 4)
SDXL_LORA = FamilyDefaults(1e-4, 0, 500, 4)

FAMILY_DEFAULTS: dict[str, dict[Method, FamilyDefaults]] = {
    SD1: {"full": SD_FULL, "lora": SD_LORA},
    SD2: {"full": SD_FULL, "lora": SD_LORA},
    SDXL: {"full": SDXL_FULL, "lora": SDXL_LORA},
}
METHOD: dict[str, Method] = {SDXL: "lora"}  # of the families whose full training takes more than most machines have
