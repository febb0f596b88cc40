"""Out of memory: how that shows in errors, and how what was cached is freed."""

import gc

import torch

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


def free_cached_memory() -> None:
    """Free cached memory, and what references in tracebacks still held."""
    gc.collect()
    torch.cuda.empty_cache()
