"""The base model: a Stable Diffusion 1.x, 2.x or XL that stays loaded."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from storage.errors import SetupError
from trainer.denoiser import Denoiser
from trainer.files import base_folder, model_hash


@dataclass
class BaseModel:
    """Its parts, frozen."""

    folder: Path
    tokenizers: list[Any]  # one for each text encoder
    vae: Any
    scheduler: Any
    denoiser: Denoiser
    device: torch.device

    @property
    def image_px(self) -> int:
        """Side of the pictures that it was trained on."""
        side: int = self.denoiser.unet.config.sample_size * self.vae_factor
        return side

    @property
    def vae_factor(self) -> int:
        """How many pixels make one latent, each way."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @cached_property
    def sha256(self) -> str:
        """Hash of all the files that decide what it draws."""
        return model_hash(self.folder)

    @property
    def tokenizer(self) -> Any:
        """The first, by which identifiers are chosen: all have CLIP's vocabulary."""
        return self.tokenizers[0]

    def token_ids(self, texts: list[str]) -> list[Tensor]:
        """Tokenise for each text encoder, padded and cut to its length: n × tokens each."""
        options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        return [tokenizer(texts, **options).input_ids.to(self.device) for tokenizer in self.tokenizers]

    def unread(self, text: str) -> str:
        """The end of `text` that does not fit into the text encoder; empty if all of it does."""
        ids = self.tokenizer(text, verbose=False).input_ids
        rest: str = self.tokenizer.decode(ids[self.tokenizer.model_max_length - 1 : -1])
        return rest.strip()


def load_base(base_model: str) -> BaseModel:
    """Load a base model onto the GPU, or the CPU if there is none; raises SetupError if it cannot be read."""
    folder = base_folder(base_model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def frozen(kind: Any, part: str) -> Any:
        return kind.from_pretrained(folder / part, dtype=torch.float32).to(device).eval().requires_grad_(False)

    try:
        two = (folder / "text_encoder_2").is_dir()
        text_encoders = [frozen(CLIPTextModel, "text_encoder")]
        if two:
            text_encoders.append(frozen(CLIPTextModelWithProjection, "text_encoder_2"))
        return BaseModel(
            folder=folder,
            tokenizers=[CLIPTokenizer.from_pretrained(folder / f"tokenizer{n}") for n in ("", "_2")[: 1 + two]],
            vae=frozen(AutoencoderKL, "vae"),
            scheduler=DDPMScheduler.from_pretrained(folder / "scheduler"),
            denoiser=Denoiser(frozen(UNet2DConditionModel, "unet"), *text_encoders).eval(),
            device=device,
        )
    except (OSError, ValueError, SafetensorError, json.JSONDecodeError) as error:
        raise SetupError(f"The base model in {folder} cannot be read: {error}") from error
