"""A Stable Diffusion 1.x, 2.x or XL as a base model: a UNet on the latents of a variational autoencoder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from storage.errors import SetupError
from trainer.models.base import BaseModel, memory_format_for
from trainer.models.denoiser import PromptReader, TextEmbeddings
from trainer.models.diffusers_layout import INDEX, config_of, settings_read
from trainer.models.load_weights import read_part, shapes_only
from trainer.models.placement import Placement
from trainer.models.sources import ModelSource
from trainer.models.stable_diffusion.denoiser import UNetDenoiser
from trainer.models.stable_diffusion.model_files import StableDiffusionFiles
from trainer.noise.ddpm import DiscreteDiffusion

TEXT_ENCODERS = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
NETWORKS = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
LATENTS, SDXL_LATENTS = 64, 128  # of a side of a picture
SHORT_WORD = re.compile(r"[a-z]{3,4}</w>")  # as a token of CLIP's


@dataclass(eq=False)
class StableDiffusion(BaseModel):
    """Its parts, frozen; `tokenizers` are one for each text encoder."""

    denoiser: UNetDenoiser
    vae: Any
    tokenizers: list[Any]

    @property
    def image_px(self) -> int:
        """As many latents as the UNet was trained on."""
        side = self.denoiser.unet.config.sample_size
        if side is None:  # some do not say: then it is as usual, which is what diffusers takes, too
            side = SDXL_LATENTS if self.denoiser.text_encoder_2 is not None else LATENTS
        return int((min(side) if isinstance(side, list | tuple) else side) * self.latent_px)

    @property
    def latent_px(self) -> int:
        """The VAE halves a picture between any two of its levels."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """Four, but where a model was made with more."""
        return int(self.vae.config.latent_channels)

    @property
    def size_step_px(self) -> int:
        """Of all that its networks halve them."""
        return int(self.latent_px * 2 ** (len(self.denoiser.unet.config.block_out_channels) - 1))

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `BaseModel`."""
        latents = self.vae.encode(pixels.to(self.device)).latent_dist
        return latents.mean, latents.std

    def normalised(self, latents: Tensor) -> Tensor:
        """One factor for all channels."""
        scaled: Tensor = latents * self.vae.config.scaling_factor
        return scaled

    def decode(self, latents: Tensor) -> Tensor:
        """See `BaseModel`."""
        pixels: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return pixels

    @contextmanager
    def in_tiles(self) -> Iterator[None]:
        """See `BaseModel`."""
        vae = self.vae
        vae.tile_sample_min_size, vae.tile_latent_min_size = self.image_px, self.image_px // self.latent_px
        vae.enable_tiling()
        try:
            yield
        finally:
            vae.disable_tiling()

    @property
    def tokenizer(self) -> Any:
        """The first, by which identifiers are chosen: all have CLIP's vocabulary."""
        return self.tokenizers[0]

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
        """See `BaseModel`."""
        ids = self.tokenizer(text, verbose=False).input_ids
        rest: str = self.tokenizer.decode(ids[self.tokenizer.model_max_length - 1 : -1])
        return rest.strip()

    def guides(self, denoiser: PromptReader, negative: str | None, *prompts: str) -> TextEmbeddings:
        """See `BaseModel`."""
        if negative is None:
            return super().guides(denoiser, None, *prompts)
        read = denoiser.read(self.token_ids([negative, *prompts]))
        return (read.with_zeros_first() if self.zeros_for_empty and not negative else read).with_first_for_each()

    def short_words(self) -> list[str]:
        """A byte-pair vocabulary is ordered by frequency, the rarest last."""
        by_id = sorted(self.tokenizer.get_vocab().items(), key=lambda item: -item[1])
        words = [token.removesuffix("</w>") for token, _ in by_id if SHORT_WORD.fullmatch(token)]
        return [word for word in words if len(self.tokenizer.tokenize(word)) == 1]

    def meanings(self, texts: list[str]) -> Tensor:
        """The last token has seen all of the prompt."""
        return self.denoiser.read(self.token_ids(texts)).tokens[:, -1]

    def twin(self, source: ModelSource, placement: Placement) -> "StableDiffusion":
        """See `BaseModel`."""
        unet = placement.backbone(_read(source, "unet", placement.device, placement.dtype), UNetDenoiser.block_kinds)
        denoiser = UNetDenoiser(unet, *self.denoiser.text_encoders).eval()
        return replace(self, source=source, denoiser=denoiser, process=_process(source.folder))

    def files(self) -> StableDiffusionFiles:
        """See `BaseModel`."""
        return StableDiffusionFiles(self)

    @property
    def parts(self) -> dict[str, Any]:
        """See `BaseModel`."""
        readers = zip(TEXT_ENCODERS, self.denoiser.text_encoders, strict=False)
        return {"unet": self.denoiser.unet, "vae": self.vae, **dict(readers)}


def _read(source: ModelSource, part: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A part with its weights, which lie in memory as is quickest for a device that they are still to be put on."""
    network = read_part(source, part, lambda: _empty(source.folder, part), dtype)
    return network.to(memory_format=memory_format_for(device))


def load(source: ModelSource, placement: Placement) -> StableDiffusion:
    """Load all parts; raises SetupError for a tokenizer that is another text encoder's."""
    device, dtype = placement.device, placement.dtype
    readers = (part for part in TEXT_ENCODERS if (source.folder / part).is_dir())
    text_encoders = [placement.reader(_read(source, part, device, dtype)) for part in readers]
    tokenizers = []
    for part, encoder in zip(("tokenizer", "tokenizer_2"), text_encoders, strict=False):
        tokenizers.append(CLIPTokenizer.from_pretrained(source.folder / part, local_files_only=True))
        if len(tokenizers[-1]) > encoder.config.vocab_size:
            of = f"{len(tokenizers[-1])} words, and its text encoder knows {encoder.config.vocab_size}"
            raise SetupError(f"{source.called} is mixed of several: its {part} has {of}.")
        tokenizers[-1].model_max_length = encoder.config.max_position_embeddings  # some files do not say
    vae = _read(source, "vae", device, torch.float32)  # SDXL's overflows in half precision
    vae = vae.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # quicker on a CPU as well
    unet = placement.backbone(_read(source, "unet", device, dtype), UNetDenoiser.block_kinds)
    denoiser = UNetDenoiser(unet, *text_encoders).eval()
    return StableDiffusion(source, denoiser, _process(source.folder), device, vae, tokenizers)


def skeleton(folder: Path, dtype: torch.dtype) -> StableDiffusion:
    """The same without content, by the settings in a folder; raises SetupError if these make no model."""
    with settings_read(folder, "Stable Diffusion"), shapes_only():
        parts = [part for part in TEXT_ENCODERS if (folder / part).is_dir() or part == "text_encoder"]
        unet, vae, *text_encoders = (_empty(folder, part) for part in (*NETWORKS, *parts))
    denoiser = UNetDenoiser(unet, *text_encoders).requires_grad_(False)
    for weight in denoiser.parameters():
        weight.data = weight.data.to(dtype)
    source = ModelSource(f"The base model in {folder}", folder, ())
    return StableDiffusion(source, denoiser, _process(folder), torch.device("meta"), vae.requires_grad_(False), [])


def _empty(folder: Path, part: str) -> Any:
    """A part without content, by its settings."""
    if part in TEXT_ENCODERS:
        return TEXT_ENCODERS[part](CLIPTextConfig.from_pretrained(folder / part))
    return NETWORKS[part].from_config(NETWORKS[part].load_config(folder / part))


def _process(folder: Path) -> DiscreteDiffusion:
    return DiscreteDiffusion(DDPMScheduler.from_pretrained(folder / "scheduler"))
