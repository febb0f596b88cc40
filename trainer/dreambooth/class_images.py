"""Class images for prior preservation: drawn by the base model itself, once, and shared by every subject of a class.

They are kept as latents: what training needs, never decoded and encoded again.
"""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.contract.recipe import Recipe
from storage.contract.sizes import size_of_aspect
from storage.nouns import class_prompt
from storage.objects.transfers import appearing
from trainer.diffusion.latents import NOTHING
from trainer.diffusion.sampling import Denoising
from trainer.dreambooth.class_set_file import SHA256
from trainer.dreambooth.prompts import CLASS_BATCH, FIRST_SEED, SCHEDULER
from trainer.models.base import BaseModel
from trainer.models.finite import NotFinite, is_finite
from trainer.steps import Steps


def draw_class_set(base: BaseModel, noun: str, recipe: Recipe, path: Path, together: int = CLASS_BATCH) -> Steps[None]:
    """Draw the class set into `path`. Yields images done, of how many, after each denoising step.

    Raises NotFinite where the model draws none.
    """
    seeds = range(FIRST_SEED, FIRST_SEED + recipe.class_images)
    parts: list[Tensor] = []
    for first in range(0, len(seeds), together):
        group = list(seeds[first : first + together])
        denoising = Denoising(
            base,
            base.denoiser,
            class_prompt(noun),
            group,
            steps=recipe.class_steps,
            guidance=recipe.class_guidance,
            scheduler=SCHEDULER,
            size=size_of_aspect(base.image_px, recipe.aspect, base.size_step_px),
        )
        while not denoising.done:
            denoising.step()
            yield first, recipe.class_images
        # Latents have a spread of about 1, of which half precision keeps three digits, in half the space.
        parts.append(denoising.latents.half().cpu())
    drawn = torch.cat(parts).contiguous()
    if not is_finite(drawn):
        raise NotFinite(NOTHING)
    # Of the tensor's bytes alone, since the hash itself is in the header before them.
    sha256 = hashlib.sha256(drawn.numpy().tobytes()).hexdigest()
    with appearing(path) as part:  # an engine that is killed must not leave half a set to all later trainings
        save_file({"latents": drawn}, part, {SHA256: sha256})


def is_usable(path: Path) -> bool:
    """Whether there is a class set, and all of it is finite."""
    return path.exists() and bool(is_finite(load_file(path)["latents"]))


def read_class_set(path: Path) -> Tensor:
    """Latents of a class set, n × c × h × w, scaled."""
    return load_file(path)["latents"].float()
