"""Out of memory: how that shows, and how the same is done with less."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from storage.contract.recipe import Recipe
from trainer.models.base import BaseModel

SIGNS = (
    "out of memory",  # CUDA, MPS
    "alloc_failed",  # cuBLAS, cuDNN
    "can't allocate memory",  # PyTorch on the CPU
    "cannot allocate memory",  # the system
    "bad_alloc",  # C++
    "could not create a primitive",  # oneDNN
)  # as RuntimeErrors put it


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was too little memory."""
    message = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError | OSError) and any(sign in message for sign in SIGNS)
    )


def free() -> None:
    """Free cached memory, and what references in tracebacks still held."""
    gc.collect()
    torch.cuda.empty_cache()


def with_less_memory(recipe: Recipe) -> Recipe:
    """The recipe with micro-batches of one and gradient checkpointing: the result is the same but for rounding."""
    passes = recipe.batch * recipe.accumulation
    return recipe.model_copy(update={"batch": 1, "accumulation": passes, "gradient_checkpointing": True})


@contextmanager
def in_tiles(base: BaseModel) -> Iterator[None]:
    """Tiled VAE decoding, for pictures that are larger than the base model's own size."""
    vae = base.vae
    vae.tile_sample_min_size, vae.tile_latent_min_size = base.image_px, base.image_px // base.vae_factor
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.disable_tiling()
