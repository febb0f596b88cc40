"""Micro models: Stable Diffusions of few random weights, for tests that need the path, not the pictures.

`micro` is Toyworld's architecture. The others are those of the real models but for their size: SD 1 with CLIP's text
encoder, SD 2 with OpenCLIP's and velocity as target, SDXL with two text encoders and the picture's size as input.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

RECIPE = {
    "method": "full",  # so that no engine has to rehearse a step
    "steps": 8,
    "batch": 1,
    "accumulation": 1,
    "learning_rate": 1e-4,
    "text_learning_rate": 1e-4,
    "warmup_steps": 2,
    "class_images": 4,
    "class_steps": 2,
    "sample_steps": 2,
    "looking_share": 1,  # trainings of tests are short
}
TOKENS = 32


def write_micro_model(folder: Path, **shape: Any) -> Path:
    """Write the micro model in diffusers' layout into `folder`; the same weights each time, for each `shape`."""
    from diffusers import StableDiffusionPipeline

    from research.toyworld.pretrain import noise_schedule
    from research.toyworld.shapes import MICRO, build_text_encoder, build_unet, build_vae
    from research.toyworld.tokenizer import write_tokenizer

    micro = replace(MICRO, **shape)
    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder / "tokenizer", micro.text_tokens)
    text_encoder = build_text_encoder(micro, len(tokenizer), tokenizer.eos_token_id)
    pipeline = StableDiffusionPipeline(
        build_vae(micro),
        text_encoder,
        tokenizer,
        build_unet(micro),
        noise_schedule(),
        None,
        None,
        requires_safety_checker=False,
    )
    return _written(pipeline, folder, drawing={"steps": 8})  # where a test does not say how many


def write_micro_sd1(folder: Path) -> Path:
    """Write a micro Stable Diffusion 1.5: it predicts noise, and its heads are as many at each level."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**_SCHEDULE, set_alpha_to_one=False, clip_sample=False)
    unet = _unet(cross_attention_dim=32, attention_head_dim=4)
    return _one_encoder(folder, scheduler, unet, hidden_act="quick_gelu")


def write_model_of_channels(folder: Path, *channels: int) -> Path:
    """Write a Stable Diffusion 1 that is no longer micro, for those who measure: 256 pixels, any number of levels."""
    from diffusers import DDIMScheduler

    attends = len(channels) - 1
    unet = _unet(
        sample_size=32,
        block_out_channels=channels,
        down_block_types=(*("CrossAttnDownBlock2D",) * attends, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * attends),
        cross_attention_dim=32,
        attention_head_dim=4,
    )
    return _one_encoder(folder, DDIMScheduler(**_SCHEDULE, clip_sample=False), unet, hidden_act="quick_gelu")


def write_micro_sd2(folder: Path, width: int = 32, **schedule: Any) -> Path:
    """Write a micro Stable Diffusion 2.1: velocity, linear projections, OpenCLIP's text encoder; really 1024 wide."""
    from diffusers import DDIMScheduler

    usual = {"set_alpha_to_one": False, "clip_sample": False, "prediction_type": "v_prediction"}
    unet = _unet(cross_attention_dim=width, attention_head_dim=(2, 4), use_linear_projection=True)
    return _one_encoder(folder, DDIMScheduler(**_SCHEDULE, **usual, **schedule), unet, "gelu", width)


def write_micro_sdxl(folder: Path) -> Path:
    """Write a micro SDXL: three levels, the second and third with attention, two text encoders, two tokenizers."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    from research.toyworld.tokenizer import write_tokenizer

    torch.manual_seed(0)
    tokenizers = [write_tokenizer(folder / "tokenizer", TOKENS), write_tokenizer(folder / "tokenizer_2", TOKENS)]
    tokenizers[1].pad_token = "!"  # as OpenCLIP pads
    unet = _unet(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(2, 4, 4),
        cross_attention_dim=24 + 32,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 20,
    )
    pipeline = StableDiffusionXLPipeline(
        _vae(scaling_factor=0.13025, force_upcast=True),
        CLIPTextModel(_text_config(tokenizers[0], 24, "quick_gelu", projection_dim=24)),
        CLIPTextModelWithProjection(_text_config(tokenizers[1], 32, "gelu", projection_dim=20)),
        *tokenizers,
        unet,
        EulerDiscreteScheduler(**_SCHEDULE, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    return _written(pipeline, folder)


_SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
}


def _one_encoder(folder: Path, scheduler: Any, unet: Any, hidden_act: str, width: int = 32) -> Path:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    from research.toyworld.tokenizer import write_tokenizer

    tokenizer = write_tokenizer(folder / "tokenizer", TOKENS)
    text_encoder = CLIPTextModel(_text_config(tokenizer, width, hidden_act))
    vae, nothing = _vae(), {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return _written(StableDiffusionPipeline(vae, text_encoder, tokenizer, unet, scheduler, **nothing), folder)


def _unet(**how: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(1)
    usual: dict[str, Any] = {
        "sample_size": 8,
        "layers_per_block": 2,
        "norm_num_groups": 8,
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    return UNet2DConditionModel(**(usual | how))


def _vae(**how: Any) -> Any:
    """An autoencoder that makes one latent of 8 × 8 pixels, as the real ones do."""
    from diffusers import AutoencoderKL

    torch.manual_seed(2)
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        **how,
    )


def _text_config(tokenizer: Any, width: int, hidden_act: str, **how: Any) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        hidden_act=hidden_act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **how,
    )


def _written(pipeline: Any, folder: Path, **more: Any) -> Path:
    pipeline.save_pretrained(folder)
    (folder / "darkroom.json").write_text(json.dumps({"recipe": RECIPE, **more}))
    return folder


def write_micro_clip(folder: Path) -> Path:
    """Write a micro CLIP, which looks at pictures and reads, and knows nothing of either."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    from research.toyworld.tokenizer import write_tokenizer

    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder, TOKENS)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    text = {**size, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": TOKENS}
    vision = {**size, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def write_micro_dino(folder: Path) -> Path:
    """Write a micro DINO: a vision transformer that has learned nothing."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    size = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    ViTModel(ViTConfig(**size, image_size=32, patch_size=8)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def write_micro_klein(folder: Path, distilled: bool = False) -> Path:
    """Write a micro FLUX.2 [klein]: pictures of 32 pixels, a language model of 28 layers that read 16 numbers wide."""
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    tokenizer = _qwen_tokenizer()
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=28,  # of which the states of the 9th, the 18th and the 27th are read
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            tie_word_embeddings=True,
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )
    vae.bn.running_mean.normal_(0, 0.1)
    vae.bn.running_var.uniform_(0.5, 1.5)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    pipeline = Flux2KleinPipeline(scheduler, vae, text_encoder, tokenizer, transformer, is_distilled=distilled)
    pipeline.save_pretrained(folder)
    (folder / "darkroom.json").write_text(json.dumps({"recipe": {**RECIPE, "method": "lora", "text_learning_rate": 0}}))
    return folder


def write_micro_z_image(folder: Path, *vae_channels: int, seed: int = 0) -> Path:
    """Write a micro Z-Image: pictures of 32 pixels, of which a latent has 2 × 2 unless there are `vae_channels`."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(seed)
    tokenizer = _qwen_tokenizer()
    text_encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
        )
    )
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 6, 6],
        axes_lens=[600, 64, 64],
    )
    channels = vae_channels or (8, 16)
    vae = AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=0.36,
        shift_factor=0.11,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=False)
    pipeline = ZImagePipeline(scheduler, vae, text_encoder, tokenizer, _without_zeros(transformer))
    pipeline.save_pretrained(folder)
    (folder / "darkroom.json").write_text(json.dumps({"recipe": {**RECIPE, "method": "lora", "text_learning_rate": 0}}))
    return folder


def write_micro_krea2(folder: Path, distilled: bool = False) -> Path:
    """Write a micro Krea 2: pictures of 32 pixels, three layers of a vision-language model are read."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        Krea2Pipeline,
        Krea2Transformer2DModel,
    )
    from transformers import Qwen3VLConfig, Qwen3VLModel

    torch.manual_seed(0)
    tokenizer = _qwen_tokenizer()
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    sections = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "rope_parameters": sections, **heads}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    config = Qwen3VLConfig(
        text_config={**text, "vocab_size": len(tokenizer)}, vision_config={**vision, "deepstack_visual_indexes": [0]}
    )
    transformer = Krea2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        attention_head_dim=12,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        timestep_embed_dim=16,
        text_hidden_dim=16,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=2,
        text_intermediate_size=32,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[-0.2, 0.1, 0.0, 0.3],
        latents_std=[1.2, 0.8, 1.0, 0.9],
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_image_seq_len=6400, shift=1.0)
    how = {"text_encoder_select_layers": (1, 2, 4), "is_distilled": distilled}
    pipeline = Krea2Pipeline(scheduler, vae, Qwen3VLModel(config), tokenizer, _without_zeros(transformer), **how)
    pipeline.save_pretrained(folder)
    recipe = {**RECIPE, "method": "lora", "text_learning_rate": 0}
    (folder / "darkroom.json").write_text(json.dumps({"recipe": recipe, "drawing": {"size": 32}}))
    return folder


def _without_zeros(network: Any) -> Any:
    """A network none of whose weights are all zero, as those of modulation are before a training."""
    with torch.no_grad():
        for weight in network.parameters():
            if not weight.any():
                weight.normal_(0, 0.1)
    return network


def _qwen_tokenizer() -> Any:
    """A byte-pair tokenizer that puts the space before a word, with Qwen's marks and form of messages."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from research.toyworld.tokenizer import RARE_WORDS

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = [f"a photo of a {word} dog" for word in (*RARE_WORDS, "red", "blue", "green") for _ in range(3)]
    raw.train_from_iterator(words, trainers.BpeTrainer(vocab_size=700, special_tokens=marks, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=marks[0], eos_token=marks[2])
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
    )
    return tokenizer
