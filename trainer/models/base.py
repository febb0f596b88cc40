"""The base model: a Stable Diffusion 1.x, 2.x or XL that stays loaded."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPTokenizer

from storage.errors import SetupError
from storage.settings.shared import load_settings
from storage.settings.trainer import Precision, TrainerSettings
from trainer.models.darkroom_json import drawing_of
from trainer.models.denoiser import Denoiser, TextEmbeddings
from trainer.models.diffusers_layout import INDEX, config_of
from trainer.models.finite import check_finite
from trainer.models.load_weights import check_weights, read_part
from trainer.models.meta_model import MetaModel
from trainer.models.rare_tokens import candidates, meaningless
from trainer.models.sources import Source, find
from trainer.models.versions import BaseModelVersion, model_hash

READ = 400  # rare words of which it is found out what they mean


@dataclass
class BaseModel:
    """Its parts, frozen."""

    source: Source
    tokenizers: list[Any]  # one for each text encoder
    vae: Any
    scheduler: Any
    denoiser: Denoiser
    device: torch.device

    @property
    def folder(self) -> Path:
        """Where it lies, in diffusers' layout."""
        return self.source.folder

    @property
    def image_px(self) -> int:
        """Side of the pictures that it was trained on."""
        side: int = self.denoiser.unet.config.sample_size * self.vae_factor
        return side

    @property
    def vae_factor(self) -> int:
        """How many pixels make one latent, each way."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def size_step_px(self) -> int:
        """What the sides of pictures must be multiples of: of all that its networks halve them."""
        return int(self.vae_factor * 2 ** (len(self.denoiser.unet.config.block_out_channels) - 1))

    @property
    def mixed_precision(self) -> str:
        """The precision that it is kept in, as Accelerate calls it."""
        return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(self.denoiser.unet.conv_in.weight.dtype, "no")

    @cached_property
    def sha256(self) -> str:
        """Hash of all the files that decide what it draws."""
        return model_hash(self.folder, self.source.files)

    @property
    def version(self) -> BaseModelVersion:
        """Which one of its name it is."""
        return BaseModelVersion(self.source.revision, self.sha256)

    @property
    def tokenizer(self) -> Any:
        """The first, by which identifiers are chosen: all have CLIP's vocabulary."""
        return self.tokenizers[0]

    @cached_property
    def rare_words(self) -> list[str]:
        """The words that may become identifiers, the rarest first; of the first ones only those that mean little."""
        words = candidates(self.tokenizer)
        first, rest = words[:READ], words[READ:]
        prompts = [self.token_ids([f"a photo of {word}"]) for word in first]
        with torch.no_grad():
            readings = [self.denoiser.read(ids).tokens[0, -1].float().cpu() for ids in prompts]
        return meaningless(first, torch.stack(readings)) + rest

    @cached_property
    def zeros_for_empty(self) -> bool:
        """Whether zeros stand for an empty negative prompt: SDXL is used so."""
        index = config_of(self.folder, INDEX) if INDEX in self.source.files else {}
        return len(self.tokenizers) > 1 and bool(index.get("force_zeros_for_empty_prompt", True))

    def token_ids(self, texts: list[str]) -> list[Tensor]:
        """Tokenise for each text encoder, padded and cut to its length: n × tokens each."""
        options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        return [tokenizer(texts, **options).input_ids.to(self.device) for tokenizer in self.tokenizers]

    def unread(self, text: str) -> str:
        """The end of `text` that does not fit into the text encoder; empty if all of it does."""
        ids = self.tokenizer(text, verbose=False).input_ids
        rest: str = self.tokenizer.decode(ids[self.tokenizer.model_max_length - 1 : -1])
        return rest.strip()

    def guides(self, denoiser: Denoiser, negative: str, *prompts: str) -> TextEmbeddings:
        """What `denoiser` makes of the prompts that guide pictures: the negative one for each, and then the others."""
        read = denoiser.read(self.token_ids([negative, *prompts]))
        return (read.with_zeros_first() if self.zeros_for_empty and not negative else read).with_first_for_each()


def load_base(base_model: str, home: Path | None = None, precision: Precision = "auto") -> BaseModel:
    """Load a base model onto the GPU, or the CPU if there is none; raises SetupError if it cannot be had or read.

    What is downloaded or converted stays under `home`, which is DARKROOM_HOME if not given.
    """
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
    dtype = dtype_for(precision, device)
    source = find(
        base_model, models_folder(home or load_settings(TrainerSettings).home), half=dtype is not torch.float32
    )
    try:
        base = _load(source, device, dtype)
        check_finite([*base.denoiser.named_parameters(), *base.vae.named_parameters(prefix="vae")], source.called)
        return base
    except (OSError, ValueError, RuntimeError, SafetensorError, json.JSONDecodeError) as error:
        raise SetupError(f"{source.called} in {source.folder} cannot be read: {error}") from error


def models_folder(home: Path) -> Path:
    """Where downloads are noted and conversions kept."""
    return home / "models"


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """What the frozen base model is kept in: half precision where that is quicker, unless something else is set."""
    if precision != "auto":
        return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def memory_format_for(device: torch.device) -> torch.memory_format:
    """How a network's weights lie in memory: a GPU's convolutions are quickest with their channels last."""
    return torch.channels_last if device.type == "cuda" else torch.preserve_format


def _load(source: Source, device: torch.device, dtype: torch.dtype) -> BaseModel:
    def frozen(part: str, dtype: torch.dtype = dtype) -> Any:
        network = read_part(source, part, dtype).to(device, memory_format=memory_format_for(device))
        return network.eval().requires_grad_(False)

    drawing_of(source.folder)  # what is wrong with it is said now, and not with the first picture
    check_weights(source, MetaModel.of(source.folder, dtype))
    text_encoders = [frozen("text_encoder")]
    if (source.folder / "text_encoder_2").is_dir():
        text_encoders.append(frozen("text_encoder_2"))
    tokenizers = []
    for part, encoder in zip(("tokenizer", "tokenizer_2"), text_encoders, strict=False):
        tokenizers.append(CLIPTokenizer.from_pretrained(source.folder / part, local_files_only=True))
        if len(tokenizers[-1]) > encoder.config.vocab_size:
            of = f"{len(tokenizers[-1])} words, and its text encoder knows {encoder.config.vocab_size}"
            raise SetupError(f"{source.called} is mixed of several: its {part} has {of}.")
        tokenizers[-1].model_max_length = encoder.config.max_position_embeddings  # some files do not say
    return BaseModel(
        source=source,
        tokenizers=tokenizers,
        vae=frozen("vae", torch.float32),  # SDXL's overflows in half precision
        scheduler=DDPMScheduler.from_pretrained(source.folder / "scheduler"),
        denoiser=Denoiser(frozen("unet"), *text_encoders).eval(),
        device=device,
    )
