"""Darkroom's drawing beside diffusers' own pipeline, in turns, on one model: a stage of `tests.bench.gpu`.

Both take the same steps of DPM++ 2M with the same guidance and precision. The pipeline's safety checker and progress
bar are off; both end with pictures in the CPU's memory.
"""

import json
import statistics
import sys
import time
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from trainer.diffusion import sampling
from trainer.models.base import BaseModel, load_base

PROMPT = "a photo of a dog in Paris"
GUIDANCE = 5.0


def pipeline_of(base: BaseModel) -> Any:
    """Diffusers' pipeline on the very weights that Darkroom draws with."""
    unet, text_encoder = base.denoiser.children()
    parts = (base.vae, text_encoder, base.tokenizers[0], unet, sampling.scheduler_for(base, "dpm++2m", 1))
    pipeline = StableDiffusionPipeline(*parts, None, None, None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def measure(base: BaseModel, pipeline: Any, pictures: int, steps: int, rounds: int) -> dict[str, float]:
    """Medians of both, and peer ÷ ours."""
    seeds = list(range(pictures))

    def ours() -> None:
        how: dict[str, Any] = {"steps": steps, "guidance": GUIDANCE}
        assert len(list(sampling.draw(base, base.denoiser, PROMPT, seeds, together=pictures, **how))) == pictures

    def peer() -> None:
        chance = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        how: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": GUIDANCE, "generator": chance}
        with torch.no_grad():
            assert len(pipeline(PROMPT, num_images_per_prompt=pictures, **how).images) == pictures

    took: dict[str, list[float]] = {"peer": [], "ours": []}
    for turn in range(rounds + 1):
        for who, drawn in (("peer", peer), ("ours", ours)):
            began_s = time.perf_counter()
            drawn()
            if turn:  # the first finds the quickest kernels
                took[who].append(time.perf_counter() - began_s)
    peer_s, ours_s = (statistics.median(took[who]) for who in ("peer", "ours"))
    return {"peer_s": peer_s, "ours_s": ours_s, "peer ÷ ours": peer_s / ours_s}


if __name__ == "__main__":
    model, steps, rounds = sys.argv[1:]
    base = load_base(model)
    both = {f"{n} at once": measure(base, pipeline_of(base), n, int(steps), int(rounds)) for n in (1, 8)}
    print(json.dumps({"ok": True, **both}))  # noqa: T201
