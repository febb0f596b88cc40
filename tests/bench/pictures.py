"""Pictures of one prompt beside diffusers' own pipeline, in turns: `python -m tests.bench.pictures [COUNT]`."""

import json
import statistics
import sys
import time
from collections import Counter

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from trainer.diffusion import sampling
from trainer.diffusion.batch_sizes import PictureBatches
from trainer.models.base import load_base
from trainer.models.local_files import TOYWORLD_FOLDER

ROUNDS, STEPS, GUIDANCE = 7, 15, 4.0


def main() -> None:
    """Time our drawing, batches as measured and always four, and the pipeline; print medians and ratios."""
    count = int(sys.argv[1]) if sys.argv[1:] else 16
    base, seeds, prompt = load_base("toyworld"), list(range(count)), "a dog in Paris"
    pipeline = StableDiffusionPipeline.from_pretrained(TOYWORLD_FOLDER, safety_checker=None, torch_dtype=torch.float32)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    batches, sizes = PictureBatches(base), Counter[int]()
    how = {"steps": STEPS, "guidance": GUIDANCE}

    def theirs() -> None:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        pipeline(
            prompt,
            num_images_per_prompt=count,
            generator=generators,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
        )

    ways = {
        "diffusers": theirs,
        "as measured": lambda: list(sampling.draw(base, base.denoiser, prompt, seeds, together=batches, **how)),
        "always four": lambda: list(sampling.draw(base, base.denoiser, prompt, seeds, together=4, **how)),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 2):
        for name, way in ways.items():
            began_s = time.perf_counter()
            way()
            if number > 1:  # the first are to warm up, and to find the size
                took[name].append(time.perf_counter() - began_s)
        sizes[batches.next(count, base.image_px)] += 1
    medians = {name: statistics.median(times) for name, times in took.items()}
    ratios = {name: round(medians["diffusers"] / median_s, 2) for name, median_s in medians.items()}
    print(json.dumps({"s": {n: round(s, 2) for n, s in medians.items()}, "times as fast": ratios, "sizes": sizes}))  # noqa: T201


if __name__ == "__main__":
    main()
