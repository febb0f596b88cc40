"""What a file of weights holds, told from names and shapes, for sentences about it. Without torch."""

import re
from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]

CONV_IN = re.compile(r"^((model\.diffusion_model\.)?input_blocks\.0\.0|(unet\.)?conv_in)\.weight$")
CHANNELS = {  # that a UNet takes in, besides the 4 of latents
    5: "a depth-to-image model",
    7: "an upscaler",
    8: "a model for editing by instructions, as InstructPix2Pix",
    9: "an inpainting model",
}
LORA = re.compile(r"[._]lora(_linear_layer)?[._](down|up|A|B)\b|^lora_|\.(hada|lokr|oft)_|\.lora_embedding_")
FILES = [  # that are no models: the first that has such a name
    (re.compile(r"\.hada_"), "a LoHa"),
    (re.compile(r"\.lokr_"), "a LoKr"),
    (re.compile(r"\.glora|\.[ab][12]\.weight$"), "a GLoRA"),
    (re.compile(r"\.dora_scale$|\.lora_magnitude_vector"), "a DoRA"),
    (re.compile(r"\.b?oft_|\.oft_blocks|\.oft_diag"), "an OFT"),
    (re.compile(r"\.diff(_b)?$"), "a LyCORIS of whole differences"),
    (
        re.compile(r"^(unet|text_encoder(_2)?):\d+:(up|down)$"),
        "an old kind of LoRA, of cloneofsimo's scripts, which numbers layers and does not name them",
    ),
    (re.compile(r"\.on_input$|\.ia3_l"), "an IA3"),
    (re.compile(r"\.vera_lambda_|^(.*\.)?vera_[AB]\b"), "a VeRA"),
    (re.compile(r"\.lora_E(\.|$)|\.ranknum"), "an AdaLoRA"),
    (re.compile(r"^emb_params$|^clip_[lg]$|^string_to_param\."), "a textual inversion"),
    (
        re.compile(r"^control_model\.|controlnet_cond_embedding|^controlnet_|^lora_controlnet|^zero_convs\."),
        "a ControlNet",
    ),
    (re.compile(r"motion_modules"), "a motion module of AnimateDiff"),
    (re.compile(r"^ip_adapter\.|^image_proj\."), "an IP-Adapter"),
    (re.compile(r"^adapter\.body\.|^body\.0\.block|^body\.0\.in_conv"), "a T2I-Adapter"),
    (
        re.compile(r"^conv_first\.|^body\.\d+\.rdb1|^model\.\d+\.sub\.|^params_ema"),
        "an upscaler of pictures, as ESRGAN",
    ),
    (re.compile(r"^vision_model\.|^visual\."), "a CLIP"),
]
MODELS = [  # of other kinds
    (re.compile(r"time_stack|temporal_transformer|temp_convs"), "a video model"),
    (re.compile(r"^conditioner\.embedders\.0\.model\."), "the refiner of SDXL"),
    (re.compile(r"double_blocks|single_transformer_blocks|single_blocks"), "Flux or a model built like it"),
    (
        re.compile(r"joint_blocks|joint_transformer_blocks|lora_te3_|attn\.add_k_proj|context_embedder"),
        "Stable Diffusion 3",
    ),
    (re.compile(r"noise_refiner|cap_embedder|adaln_single|adaLN_modulation"), "a model built on a transformer"),
    (
        re.compile(
            r"^((model\.)?diffusion_model\.|transformer\.)?((transformer_)?blocks|layers)\.\d+\."
            r"|^lora_(unet|transformer)_((transformer_)?blocks|layers)_\d"
        ),
        "a model built on a transformer",
    ),
    (re.compile(r"^edm_"), "a model with EDM's noise schedule"),
    (re.compile(r"clip_txt_mapper|effnet_mapper"), "Stable Cascade"),
]
PARTS = [  # of a Stable Diffusion, if that is all there is
    (re.compile(r"^(first_stage_model\.)?(encoder|decoder)\.(conv_in|conv_out|mid|mid_block|up|down)"), "a VAE alone"),
    (re.compile(r"text_model\.encoder\.layers|^transformer\.resblocks\."), "a text encoder alone"),
    (re.compile(r"^(model\.diffusion_model\.)?(input_blocks|down_blocks)\."), "a UNet alone"),
]


class Unusable(ValueError):
    """A file says of itself what cannot be, or what Darkroom has no way to do; the message says what."""


def channels_in(shapes: Shapes) -> int:
    """How many channels the UNet in a file takes in; 0 if there is none."""
    return next((shape[1] for name, shape in shapes.items() if CONV_IN.search(name) and len(shape) == 4), 0)


def kind_of(shapes: Shapes) -> str:
    """What a file holds instead of a whole Stable Diffusion, in words with an article; empty if that is not known."""
    if special := special_unet(shapes) or file_kind(shapes) or _first(MODELS, shapes):
        return special
    if any(LORA.search(name) for name in shapes):
        return "a LoRA"
    unet = any(PARTS[2][0].search(name) for name in shapes)
    return PARTS[2][1] if unet else _first(PARTS, shapes)


def special_unet(shapes: Shapes) -> str:
    """What kind of UNet is in a file, if it does not read a prompt and noise alone; empty otherwise."""
    if (channels := channels_in(shapes)) not in (0, 4):
        return f"{CHANNELS.get(channels, 'another kind of model')} (its UNet takes {channels} channels and not 4)"
    if any(name.endswith(("time_embed.cond_proj.weight", "time_embedding.cond_proj.weight")) for name in shapes):
        return "a latent consistency model (LCM), whose UNet takes the guidance scale as an input"
    return ""


def other_model(shapes: Shapes) -> str:
    """What other kind of model a file is of or for, in words with an article; empty if that is not known."""
    return _first(MODELS, shapes)


def file_kind(shapes: Shapes) -> str:
    """What a file holds that is neither a model nor a LoRA, in words with an article; empty if it may be either."""
    return _first(FILES, shapes)


def _first(table: Iterable[tuple[re.Pattern[str], str]], shapes: Shapes) -> str:
    return next((called for pattern, called in table if any(pattern.search(name) for name in shapes)), "")
