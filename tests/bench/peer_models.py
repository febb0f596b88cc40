"""Stable Diffusions of random weights in three sizes, to time trainings: quality needs real ones, time does not."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from research.toyworld.tokenizer import write_tokenizer


@dataclass(frozen=True)
class Size:
    """How large each network is; the latent is an eighth of the picture."""

    image_px: int
    unet: tuple[int, ...]  # channels, from the finest resolution
    layers: int  # of each resolution
    vae: tuple[int, ...]
    text: tuple[int, int, int]  # width, layers, heads
    groups: int
    vocabulary: int | None = None  # None: the tokenizer's


SIZES = {
    "tiny": Size(64, (32, 64), 1, (16, 16, 32, 32), (32, 2, 4), 8),
    "mini": Size(128, (64, 128, 256, 256), 1, (32, 64, 64, 64), (128, 4, 4), 32),
    "sd15": Size(512, (320, 640, 1280, 1280), 2, (128, 256, 512, 512), (768, 12, 12), 32, vocabulary=49408),
}


def write_model(size: Size, folder: Path) -> None:
    """Write a model in diffusers' layout."""
    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder / "tokenizer", 77)
    width, layers, heads = size.text
    levels = len(size.unet)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=size.vocabulary or len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=size.image_px // 8,
        layers_per_block=size.layers,
        block_out_channels=size.unet,
        cross_attention_dim=width,
        norm_num_groups=size.groups,
        down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
    )
    vae = AutoencoderKL(
        block_out_channels=size.vae,
        layers_per_block=size.layers,
        norm_num_groups=size.groups,
        sample_size=size.image_px,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    schedule = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    pipeline = StableDiffusionPipeline(vae, text_encoder, tokenizer, unet, schedule, None, None, None, False)
    pipeline.save_pretrained(folder)
