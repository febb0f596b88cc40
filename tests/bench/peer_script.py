"""Run one of diffusers' DreamBooth scripts as it is, and time its steps: `python -m tests.bench.peer_script SCRIPT …`.

The steps are told apart by what the script logs after each. Its text is untouched, but for the check that the library
is of the very commit of the script, and one line that cannot work in Z-Image's; torchvision, where there is none, is
stood in for by what the scripts use of it.
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
# Z-Image's script ends with this as published where there are class images: what it joins are lists of tensors.
LISTS_AS_TENSORS = "prompt_embeds = torch.cat([prompt_embeds, class_prompt_hidden_states], dim=0)"


def main() -> None:
    """Run the script named first, with the options after it; print one JSON object, last."""
    script, *options = sys.argv[1:]
    import accelerate
    import torch
    from diffusers import StableDiffusionPipeline  # noqa: F401 (what the script needs has to see that torchvision lacks)
    from transformers import CLIPTextModel  # noqa: F401

    if find_spec("torchvision") is None:
        _stand_in_for_torchvision()
    logged_s: list[tuple[float, float]] = []  # by the clock, and of this process
    log = accelerate.Accelerator.log

    def timed(self: Any, *given: Any, **more: Any) -> None:
        logged_s.append((time.perf_counter(), time.process_time()))
        log(self, *given, **more)

    accelerate.Accelerator.log = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(script).name
        text = re.sub(r"^check_min_version\(.*$", "", Path(script).read_text(), flags=re.MULTILINE)
        copy.write_text(text.replace(LISTS_AS_TENSORS, "prompt_embeds = prompt_embeds + class_prompt_hidden_states"))
        sys.argv = [str(copy), *options]
        runpy.run_path(str(copy), run_name="__main__")
    steps_s, steps_cpu_s = ([after[k] - before[k] for before, after in pairwise(logged_s)] for k in (0, 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    wall_s = time.perf_counter() - BEGAN_S
    print(json.dumps({"steps_s": steps_s, "steps_cpu_s": steps_cpu_s, "wall_s": wall_s, "peak_bytes": peak}))  # noqa: T201


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
    parent.transforms, module.functional = module, _functional()
    module.RandomCrop.get_params = _random_place  # as of the class that it is there
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    sys.modules |= dict(zip(names, (parent, module, module.functional), strict=True))


def _random_place(image: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = output_size
    return random.randint(0, image.height - height), random.randint(0, image.width - width), height, width


def _functional() -> Any:
    """What the scripts for diffusion transformers use of `torchvision.transforms.functional`."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    module: Any = ModuleType("torchvision.transforms.functional")
    module.resize = lambda image, size, interpolation: image.resize(
        (size[1], size[0]), Image.Resampling[interpolation.name]
    )
    module.crop = lambda image, top, left, height, width: image.crop((left, top, left + width, top + height))
    module.center_crop = lambda image, size: ImageOps.fit(image, (size[1], size[0]))
    module.hflip = ImageOps.mirror
    module.to_tensor = lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    module.normalize = lambda tensor, mean, std: (tensor - mean[0]) / std[0]
    return module


if __name__ == "__main__":
    main()
