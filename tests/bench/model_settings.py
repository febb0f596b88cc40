"""The settings of base models as their makers publish them, without weights: enough to compute what they take."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

QWEN3_4B = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
QWEN3_VL_4B = {
    "text_config": {
        **{name: value for name, value in QWEN3_4B.items() if name != "tie_word_embeddings"},
        "rope_parameters": {"rope_type": "default", "mrope_section": [24, 20, 20], "rope_theta": 5000000.0},
    },
    "vision_config": {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "out_hidden_size": 2560,
        "deepstack_visual_indexes": [5, 11, 17],
    },
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "sample_size": 1024,
}
FLUX_VAE = {
    **VAE,
    "latent_channels": 16,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 49408,
    "projection_dim": 768,
}
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "vocab_size": 49408,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
SD15_UNET = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
}
SDXL_UNET = {
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
KLEIN_4B = {
    "num_layers": 5,
    "num_single_layers": 20,
    "num_attention_heads": 24,
    "joint_attention_dim": 7680,
    "guidance_embeds": False,
}
FLOW = ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True})
LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
DIFFUSION = ("PNDMScheduler", LINEAR)

# For each: its pipeline, its schedule, and the settings of its networks; what is left out is diffusers' default.
MODELS: Mapping[str, tuple[str, tuple[str, dict[str, Any]], dict[str, dict[str, Any]]]] = {
    "FLUX.2 klein 4B": (
        "Flux2KleinPipeline",
        FLOW,
        {"transformer": KLEIN_4B, "text_encoder": QWEN3_4B, "vae": {"sample_size": 1024}},
    ),
    "Z-Image": ("ZImagePipeline", FLOW, {"transformer": {}, "text_encoder": QWEN3_4B, "vae": FLUX_VAE}),
    "Krea 2": ("Krea2Pipeline", FLOW, {"transformer": {}, "text_encoder": QWEN3_VL_4B, "vae": {}}),
    "SDXL": (
        "StableDiffusionXLPipeline",
        DIFFUSION,
        {
            "unet": SDXL_UNET,
            "text_encoder": CLIP_L,
            "text_encoder_2": CLIP_G,
            "vae": {**VAE, "latent_channels": 4},
        },
    ),
    "Stable Diffusion 1.5": (
        "StableDiffusionPipeline",
        DIFFUSION,
        {"unet": SD15_UNET, "text_encoder": CLIP_L, "vae": {**VAE, "latent_channels": 4, "sample_size": 512}},
    ),
}


def write_settings(name: str, folder: Path) -> Path:
    """Write the settings of one of `MODELS` in diffusers' layout."""
    pipeline, (schedule, how), networks = MODELS[name]
    _write(folder / "model_index.json", {"_class_name": pipeline})
    _write(folder / "scheduler" / "scheduler_config.json", {"_class_name": schedule, **how})
    for part, settings in networks.items():
        _write(folder / part / "config.json", settings)
    return folder


def _write(path: Path, settings: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))
