"""Train and draw, and say how much memory that took and was estimated.

`python -m tests.support.measure_memory SMALL LARGE PHOTO RECIPE…` has two models, a photo, and changes of the recipe as
JSON. For each there is a process of its own, which begins with what is imported: a process's peak never falls again.
"""

import gc
import json
import re
import sys
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch

from storage.contract.recipe import Recipe
from trainer.diffusion import sampling
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Step, learn
from trainer.memory.estimate import MemoryEstimate
from trainer.models.base import load_base
from trainer.models.meta_model import MetaModel


def work(folder: str, photo: str, recipe: Recipe) -> None:
    """Train on a base model, and draw with another subject's weights between two steps, as an engine does."""
    base = load_base(folder)
    other, side = base.denoiser.copy(), base.denoiser.unet.config.sample_size

    def on_step(step: Step) -> None:
        if step.step == 1:
            list(sampling.draw(base, other, "a dog", [1, 2, 3, 4], steps=1, guidance=5.0))

    learn(base, [(SubjectSpec([Path(photo)], "dog", "zuf"), torch.zeros(2, 4, side, side))], recipe, 0, on_step)


def peak_bytes() -> int:
    """The most that this process ever held; `getrusage` counts what its parent held when it was started, too."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def measure(small: str, large: str, photo: str, changes: str) -> dict[str, float]:
    """Measure one recipe."""
    torch.set_num_threads(1)
    how = Recipe(steps=2, **json.loads(changes))
    work(small, photo, how)  # so that the libraries have all that they take for themselves
    gc.collect()
    before = psutil.Process().memory_info().rss
    work(large, photo, how)
    took = peak_bytes() - before
    return {
        "took": took,
        "estimated": MemoryEstimate(MetaModel.of(Path(large), torch.float32)).training_bytes(how, None),
    }


def main() -> None:
    """Measure one after the other."""
    about = sys.argv[1:4]
    with get_context("fork").Pool(1, maxtasksperchild=1) as processes:
        found = [processes.apply(measure, (*about, changes)) for changes in sys.argv[4:]]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
