"""Draw with plain diffusers, which know nothing of Darkroom: `python tests/support/plain_diffusers.py ORDERS OUT`.

ORDERS is a file of JSON, a list of objects: what to load, how, and how large. OUT gets latents and picture of each.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline


def load(order: dict[str, Any]) -> Any:
    """Load a folder, a single file with the settings of a folder or a hub, or a LoRA file on the base model."""
    kind = StableDiffusionXLPipeline if order["xl"] else StableDiffusionPipeline
    if order["how"] == "single alone":
        return kind.from_single_file(order["file"])
    if order["how"] == "single":
        return kind.from_single_file(order["file"], config=order["base"])
    pipeline = kind.from_pretrained(order["base"] if order["how"] == "lora" else order["file"])
    if order["how"] == "lora":
        pipeline.load_lora_weights(order["file"])
    return pipeline


@torch.no_grad()
def draw(order: dict[str, Any]) -> torch.Tensor:
    """Latents and picture, one after the other."""
    pipeline = load(order).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)  # as ours
    px, side = order["image_px"], order["latent_px"]
    latents = torch.randn((1, 4, side, side), generator=torch.Generator().manual_seed(3))
    how = {"num_inference_steps": 4, "guidance_scale": 5.0, "negative_prompt": "fog", "height": px, "width": px}
    drawn = pipeline("a zuf dog", latents=latents, output_type="latent", **how).images
    image = pipeline.vae.decode(drawn / pipeline.vae.config.scaling_factor).sample
    return torch.cat([drawn.flatten(), image.flatten()])


if __name__ == "__main__":
    orders = json.loads(Path(sys.argv[1]).read_text())
    torch.save({order["name"]: draw(order) for order in orders}, sys.argv[2])
