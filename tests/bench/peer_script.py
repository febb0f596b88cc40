"""Run one of diffusers' DreamBooth scripts as it is, and time its steps: `python -m tests.bench.peer_script SCRIPT …`.

The steps are told apart by what the script logs after each. Its text is untouched, but for the check that the library
is of the very commit of the script; torchvision, where there is none, is stood in for by what the scripts use of it.
"""

import json
import random
import re
import resource
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from enum import Enum
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

BEGAN_S = time.perf_counter()


def main() -> None:
    """Run the script named first, with the options after it; print one JSON object, last."""
    script, *options = sys.argv[1:]
    import accelerate
    import torch
    from diffusers import StableDiffusionPipeline  # noqa: F401 (what the script needs has to see that torchvision lacks)
    from transformers import CLIPTextModel  # noqa: F401

    if find_spec("torchvision") is None:
        _stand_in_for_torchvision()
    logged_s: list[float] = []
    log = accelerate.Accelerator.log

    def timed(self: Any, *given: Any, **more: Any) -> None:
        logged_s.append(time.perf_counter())
        log(self, *given, **more)

    accelerate.Accelerator.log = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(script).name
        copy.write_text(re.sub(r"^check_min_version\(.*$", "", Path(script).read_text(), flags=re.MULTILINE))
        sys.argv = [str(copy), *options]
        runpy.run_path(str(copy), run_name="__main__")
    steps_s = [after - before for before, after in pairwise(logged_s)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    wall_s = time.perf_counter() - BEGAN_S
    print(json.dumps({"steps_s": steps_s, "wall_s": wall_s, "peak_bytes": peak}))  # noqa: T201


def _stand_in_for_torchvision() -> None:
    import numpy as np
    import torch
    from PIL import Image

    class InterpolationMode(Enum):
        BILINEAR, LANCZOS = "bilinear", "lanczos"

    def compose(parts: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for part in parts:
                value = part(value)
            return value

        return run

    def resize(side: int, interpolation: InterpolationMode) -> Callable[[Image.Image], Image.Image]:
        how = Image.Resampling[interpolation.name]

        def run(image: Image.Image) -> Image.Image:
            scale = side / min(image.size)
            return image.resize((round(image.width * scale), round(image.height * scale)), how)

        return run

    def crop(side: int, where: Callable[[int], int]) -> Callable[[Image.Image], Image.Image]:
        def run(image: Image.Image) -> Image.Image:
            left, top = where(image.width - side), where(image.height - side)
            return image.crop((left, top, left + side, top + side))

        return run

    module: Any = ModuleType("torchvision.transforms")
    module.InterpolationMode, module.Compose, module.Resize = InterpolationMode, compose, resize
    module.CenterCrop = lambda side: crop(side, lambda room: room // 2)
    module.RandomCrop = lambda side: crop(side, lambda room: random.randint(0, room))
    module.ToTensor = lambda: lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    module.Normalize = lambda mean, std: lambda tensor: (tensor - mean[0]) / std[0]
    parent: Any = ModuleType("torchvision")
    parent.transforms = module
    sys.modules |= {"torchvision": parent, "torchvision.transforms": module}


if __name__ == "__main__":
    main()
