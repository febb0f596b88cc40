"""Out of memory: how that shows, and how the same is done with less."""

import gc

import torch

from storage.contract.recipe import Recipe

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
