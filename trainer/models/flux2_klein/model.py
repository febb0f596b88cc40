"""A FLUX.2 [klein] as a base model: latents in patches of 2 × 2, normalised by the statistics of a batch norm."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from trainer.diffusion.flow import FlowMatching
from trainer.models.base import BaseModel
from trainer.models.diffusers_layout import INDEX, config_of, settings_read
from trainer.models.flux2_klein.denoiser import PROMPT_TOKENS, Flux2KleinDenoiser
from trainer.models.flux2_klein.model_files import Flux2KleinFiles
from trainer.models.load_weights import check_part, read_part
from trainer.models.sources import Source

PATCH = 2
SHORT_WORD = "Ġ[a-z]{3,4}"  # as a token, after a space


@dataclass(eq=False)
class Flux2Klein(BaseModel):
    """Its parts, frozen."""

    denoiser: Flux2KleinDenoiser
    vae: Any
    tokenizer: Any
    distilled: bool

    @property
    def image_px(self) -> int:
        """See `BaseModel`."""
        return int(self.vae.config.sample_size)

    @property
    def latent_px(self) -> int:
        """A patch of two of the autoencoder's latents, each of which halves a picture between any two of its levels."""
        return int(2 ** len(self.vae.config.block_out_channels))

    @property
    def latent_channels(self) -> int:
        """Those of a patch."""
        return int(PATCH**2 * self.vae.config.latent_channels)

    @property
    def size_step_px(self) -> int:
        """Whole patches."""
        return self.latent_px

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `BaseModel`."""
        latents = self.vae.encode(pixels.to(self.device)).latent_dist
        return pixel_unshuffle(latents.mean, PATCH), pixel_unshuffle(latents.std, PATCH)

    def normalised(self, latents: Tensor) -> Tensor:
        """Each channel of a patch by its own mean and deviation."""
        mean, deviation = self._statistics()
        return (latents - mean) / deviation

    def decode(self, latents: Tensor) -> Tensor:
        """See `BaseModel`."""
        mean, deviation = self._statistics()
        pixels: Tensor = self.vae.decode(pixel_shuffle(latents * deviation + mean, PATCH)).sample
        return pixels

    def _statistics(self) -> tuple[Tensor, Tensor]:
        norm, epsilon = self.vae.bn, self.vae.config.batch_norm_eps
        return norm.running_mean.view(1, -1, 1, 1), torch.sqrt(norm.running_var.view(1, -1, 1, 1) + epsilon)

    @contextmanager
    def in_tiles(self) -> Iterator[None]:
        """See `BaseModel`."""
        vae = self.vae
        vae.tile_sample_min_size, vae.tile_latent_min_size = self.image_px, PATCH * self.image_px // self.latent_px
        vae.enable_tiling()
        try:
            yield
        finally:
            vae.disable_tiling()

    def _as_message(self, text: str) -> str:
        """A prompt as the language model is asked it."""
        how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        message: str = self.tokenizer.apply_chat_template([{"role": "user", "content": text}], **how)
        return message

    def token_ids(self, texts: list[str]) -> list[Tensor]:
        """Tokens, and which of them are words: n × 512 each."""
        how = {"padding": "max_length", "truncation": True, "max_length": PROMPT_TOKENS, "return_tensors": "pt"}
        tokens = self.tokenizer([self._as_message(text) for text in texts], **how)
        return [tokens.input_ids.to(self.device), tokens.attention_mask.to(self.device)]

    def unread(self, text: str) -> str:
        """See `BaseModel`."""
        before = self._as_message(text).partition(text)[0] if text else ""
        room = PROMPT_TOKENS - len(self.tokenizer(before, verbose=False).input_ids)
        rest: str = self.tokenizer.decode(self.tokenizer(text, verbose=False).input_ids[room:])
        return rest.strip()

    def short_words(self) -> list[str]:
        """A byte-pair vocabulary is ordered by frequency, the rarest last."""
        by_id = sorted(self.tokenizer.get_vocab().items(), key=lambda item: -item[1])
        return [token[1:] for token, _ in by_id if re.fullmatch(SHORT_WORD, token)]

    def meaning(self, text: str) -> Tensor:
        """The last token has seen all of the prompt, and nothing of the padding after it, which is left out."""
        tokens, mask = self.token_ids([text])
        length = int(mask.sum())
        return self.denoiser.read([tokens[:, :length], mask[:, :length]]).tokens[0, -1]

    @property
    def is_guided(self) -> bool:
        """What is distilled has guidance in its weights."""
        return not self.distilled

    def files(self) -> Flux2KleinFiles:
        """See `BaseModel`."""
        return Flux2KleinFiles(self)

    @property
    def parts(self) -> dict[str, Any]:
        """See `BaseModel`."""
        return {"transformer": self.denoiser.transformer, "vae": self.vae, "text_encoder": self.denoiser.text_encoder}


def check_weights(source: Source, dtype: torch.dtype) -> None:
    """See `Family`."""
    for part, network in skeleton(source.folder, dtype).parts.items():
        check_part(source, part, network)


def load(source: Source, device: torch.device, dtype: torch.dtype) -> Flux2Klein:
    """Load all parts."""

    def frozen(part: str, dtype: torch.dtype = dtype) -> Any:
        network = read_part(source, part, lambda: _empty(source.folder, part), dtype)
        return network.to(device).eval().requires_grad_(False)

    tokenizer = AutoTokenizer.from_pretrained(source.folder / "tokenizer", local_files_only=True)
    denoiser = Flux2KleinDenoiser(frozen("transformer"), frozen("text_encoder")).eval()
    return _model(source, denoiser, frozen("vae", torch.float32), device, tokenizer)


def skeleton(folder: Path, dtype: torch.dtype) -> Flux2Klein:
    """The same without content, by the settings in a folder; raises SetupError if these make no model."""
    with settings_read(folder, "FLUX.2 [klein]"), torch.device("meta"):
        transformer, text_encoder, vae = (_empty(folder, part) for part in ("transformer", "text_encoder", "vae"))
    denoiser = Flux2KleinDenoiser(transformer.to(dtype), text_encoder.to(dtype)).eval().requires_grad_(False)
    source = Source(f"The base model in {folder}", folder, ())
    return _model(source, denoiser, vae.eval().requires_grad_(False), torch.device("meta"), None)


def _model(source: Source, denoiser: Flux2KleinDenoiser, vae: Any, device: torch.device, tokenizer: Any) -> Flux2Klein:
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(source.folder / "scheduler")
    process = FlowMatching(scheduler, compute_empirical_mu)
    distilled = bool(config_of(source.folder, INDEX).get("is_distilled"))
    return Flux2Klein(source, denoiser, process, device, vae, tokenizer, distilled)


def _empty(folder: Path, part: str) -> Any:
    """A part without content, by its settings."""
    if part == "text_encoder":
        reader = Qwen3ForCausalLM(Qwen3Config.from_pretrained(folder / part))
        reader.lm_head = torch.nn.Identity()  # its states are read, and no words of its own
        return reader
    kind = {"transformer": Flux2Transformer2DModel, "vae": AutoencoderKLFlux2}[part]
    return kind.from_config(kind.load_config(folder / part))
