"""Draw with plain diffusers, which know nothing of Darkroom: `python tests/support/plain_dit.py ORDERS`.

ORDERS is a file of JSON, a list of objects: a folder, a LoRA file, noise, and how to draw; each says where latents go.
"""

import json
import sys
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

if __name__ == "__main__":
    for order in json.loads(Path(sys.argv[1]).read_text()):
        pipeline = DiffusionPipeline.from_pretrained(order["folder"])
        pipeline.set_progress_bar_config(disable=True)
        pipeline.load_lora_weights(order["lora"])
        noise = torch.load(order["noise"], weights_only=True)
        drawn = pipeline(**order["how"], latents=noise, output_type="latent").images
        torch.save(drawn, order["out"])
