"""What denoisings hold of each other: nothing of those that are over."""

import gc
import weakref

from trainer.diffusion.sampling import Denoising, step_together
from trainer.models.base import BaseModel

HOW = {"steps": 2, "guidance": 4.0}


def test_denoisings_that_shared_passes_are_freed_with_their_last_reference(base: BaseModel) -> None:
    gc.disable()  # an engine's weights and tensors are not to wait for a collection
    try:
        first, second = (Denoising(base, base.denoiser, "a dog", [seed], **HOW) for seed in (1, 2))
        step_together([first, second])
        held = [weakref.ref(each) for each in (first, second)]
        del second
        assert held[1]() is None
        del first
        assert held[0]() is None
    finally:
        gc.enable()
