"""The base model's parts: load them, copy them for training, save and load what was learned."""

import copy
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from storage.errors import SetupError
from trainer.files import base_folder, model_hash


@dataclass
class Denoiser:
    """The two networks that DreamBooth trains."""

    unet: Any
    text_encoder: Any

    def modules(self) -> tuple[nn.Module, nn.Module]:
        """Both networks."""
        return self.unet, self.text_encoder

    def copy(self) -> "Denoiser":
        """Return a copy that can be changed without changing this one."""
        return Denoiser(copy.deepcopy(self.unet), copy.deepcopy(self.text_encoder))

    def state(self) -> dict[str, Tensor]:
        """All weights by name, `unet.` and `text_encoder.` before the networks' own names."""
        parts = {"unet": self.unet, "text_encoder": self.text_encoder}
        return {
            f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over weights by the names of `state()`; raises RuntimeError if some do not fit."""
        for part, module in (("unet", self.unet), ("text_encoder", self.text_encoder)):
            mine = {name.removeprefix(f"{part}."): v for name, v in state.items() if name.startswith(f"{part}.")}
            module.load_state_dict(mine)


@dataclass
class BaseModel:
    """A Stable Diffusion that stays loaded."""

    folder: Path
    tokenizer: Any
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

    def token_ids(self, texts: list[str]) -> Tensor:
        """Tokenise, padded and cut to the text encoder's length: n × tokens."""
        ids: Tensor = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return ids.to(self.device)

    def unread(self, text: str) -> str:
        """The end of `text` that does not fit into the text encoder; empty if all of it does."""
        ids = self.tokenizer(text, verbose=False).input_ids
        rest: str = self.tokenizer.decode(ids[self.tokenizer.model_max_length - 1 : -1])
        return rest.strip()


def load_base(base_model: str) -> BaseModel:
    """Load a base model onto the GPU, or the CPU if there is none; raises SetupError if it cannot be read."""
    folder = base_folder(base_model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model = BaseModel(
            folder=folder,
            tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            vae=_frozen(AutoencoderKL.from_pretrained(folder / "vae", dtype=torch.float32), device),
            scheduler=DDPMScheduler.from_pretrained(folder / "scheduler"),
            denoiser=Denoiser(
                _frozen(UNet2DConditionModel.from_pretrained(folder / "unet", dtype=torch.float32), device),
                _frozen(CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32), device),
            ),
            device=device,
        )
    except (OSError, ValueError, SafetensorError, json.JSONDecodeError) as error:
        raise SetupError(f"The base model in {folder} cannot be read: {error}") from error
    return model


def _frozen(module: Any, device: torch.device) -> Any:
    return module.to(device).eval().requires_grad_(False)


def save_learned(path: Path, learned: Denoiser, base: Denoiser) -> None:
    """Write what training changed, as half-precision safetensors: neither the VAE nor optimizer state."""
    before = base.state()
    changed = {
        name: value.detach().half().cpu().contiguous()
        for name, value in learned.state().items()
        if value.is_floating_point() and not torch.equal(value, before[name])
    }
    save_file(changed, path, {"format": "darkroom-1"})


def load_learned(path: Path, into: Denoiser, base: Denoiser) -> None:
    """Put the base weights with what was learned over them into `into`; raises ValueError if they do not fit."""
    state, learned = base.state(), load_file(path)
    unknown = [n for n, v in learned.items() if n not in state or state[n].shape != v.shape]
    if unknown:
        raise ValueError(f"{path.name} was not learned on this base model: {unknown[0]} does not fit")
    into.load({name: learned[name].to(v.dtype) if name in learned else v for name, v in state.items()})
