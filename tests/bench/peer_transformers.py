"""Diffusion transformers of random weights, to time trainings beside diffusers' scripts for them."""

import shutil
from pathlib import Path
from typing import Any

import torch

from tests.support.micro_models import write_micro_klein, write_micro_z_image

IMAGE_PX = 64  # and latents of 32 × 32: 256 tokens of a picture, besides those of the prompt
HEADS, HEAD_DIM = 4, 64


def write_klein(folder: Path) -> None:
    """Write a FLUX.2 [klein] with a transformer of 2 + 4 blocks, 256 wide; the rest is micro."""
    from diffusers import Flux2Transformer2DModel

    write_micro_klein(folder)
    torch.manual_seed(0)
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=HEAD_DIM,
        num_attention_heads=HEADS,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=HEAD_DIM,
        axes_dims_rope=(HEAD_DIM // 4,) * 4,
        guidance_embeds=False,
    )
    _finish(folder, transformer)


def write_z_image(folder: Path) -> None:
    """Write a Z-Image with a transformer of 6 blocks and 2 + 2 that refine, 256 wide; the rest is micro."""
    from diffusers import ZImageTransformer2DModel

    write_micro_z_image(folder)
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=HEADS * HEAD_DIM,
        n_layers=6,
        n_refiner_layers=2,
        n_heads=HEADS,
        n_kv_heads=HEADS,
        cap_feat_dim=16,
        axes_dims=[16, 24, 24],
        axes_lens=[1024, 64, 64],
    )
    _finish(folder, transformer)


def _finish(folder: Path, transformer: Any) -> None:
    """Put a larger transformer in the place of the micro one, with larger pictures and no recipe of its own."""
    from diffusers import DiffusionPipeline

    index = folder / "model_index.json"
    whole = index.read_text()
    index.unlink()  # which says that the model is complete
    shutil.rmtree(folder / "transformer")
    with torch.no_grad():
        for name, weight in transformer.named_parameters():  # some are made empty, as for a checkpoint that is to come
            if weight.ndim > 1:  # each layer keeps the size of what it gets
                weight.copy_(torch.randn_like(weight) / weight.shape[1] ** 0.5)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
    transformer.save_pretrained(folder / "transformer")
    vae = folder / "vae" / "config.json"
    vae.write_text(vae.read_text().replace('"sample_size": 32', f'"sample_size": {IMAGE_PX}'))
    (folder / "darkroom.json").unlink()
    index.write_text(whole)
    DiffusionPipeline.from_pretrained(folder)  # raises if the parts do not fit


WRITERS = {"klein": write_klein, "z_image": write_z_image}
SCRIPTS = {"klein": "train_dreambooth_lora_flux2_klein.py", "z_image": "train_dreambooth_lora_z_image.py"}
USUAL = ("--cache_latents", "--skip_final_inference")
FLAGS = {  # klein's layers are those by which it draws; by default its script trains with others
    "klein": (*USUAL, "--text_encoder_out_layers", "9", "18", "27"),
    "z_image": USUAL,
}
