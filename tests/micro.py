"""The micro model: a Stable Diffusion of few random weights, for tests that need the path, not the pictures."""

import json
from pathlib import Path

import torch

RECIPE = {
    "steps": 8,
    "batch": 1,
    "learning_rate": 1e-4,
    "text_learning_rate": 1e-4,
    "warmup_steps": 2,
    "class_images": 4,
    "class_steps": 2,
    "sample_steps": 2,
}


def write_micro_model(folder: Path) -> Path:
    """Write the micro model in diffusers' layout into `folder`; the same weights each time."""
    from diffusers import StableDiffusionPipeline

    from trainer.toyworld.pretrain import noise_schedule
    from trainer.toyworld.shapes import MICRO, build_text_encoder, build_unet, build_vae
    from trainer.toyworld.tokenizer import write_tokenizer

    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder / "tokenizer", MICRO.text_tokens)
    text_encoder = build_text_encoder(MICRO, len(tokenizer), tokenizer.eos_token_id)
    pipeline = StableDiffusionPipeline(
        build_vae(MICRO),
        text_encoder,
        tokenizer,
        build_unet(MICRO),
        noise_schedule(),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "darkroom.json").write_text(json.dumps({"recipe": RECIPE}))
    return folder
