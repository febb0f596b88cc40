"""The base model: stays loaded, frozen, and is what training and drawing know of a family of models."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from storage.errors import SetupError
from storage.settings.shared import load_settings
from storage.settings.trainer import BaseWeights, Precision, TrainerSettings
from trainer.models.darkroom_json import drawing_of
from trainer.models.denoiser import Denoiser, PromptReader, TextEmbeddings
from trainer.models.families import family_of
from trainer.models.family import Family
from trainer.models.finite import check_finite
from trainer.models.model_files import ModelFiles
from trainer.models.placement import IN_FULL, Placement
from trainer.models.rare_tokens import FORBIDDEN, meaningless
from trainer.models.sources import ModelSource, find
from trainer.models.versions import BaseModelVersion, model_hash
from trainer.noise.process import NoiseProcess

READ = 400  # rare words of which it is found out what they mean
READ_BATCH = 50  # of them at once


@dataclass(eq=False)  # one is itself: it is compared by nobody, and a key of caches
class BaseModel(ABC):
    """What each family has of its own; pixels are from -1 to 1, latents n × c × h × w."""

    source: ModelSource
    denoiser: Denoiser
    process: NoiseProcess
    device: torch.device
    placement: Placement = field(default=IN_FULL, init=False)  # of its frozen networks

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    @abstractmethod
    def image_px(self) -> int:
        """Side of the pictures that it was trained on."""

    @property
    @abstractmethod
    def latent_px(self) -> int:
        """How many pixels make one latent, each way."""

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """How many numbers a latent has."""

    @property
    @abstractmethod
    def size_step_px(self) -> int:
        """What the sides of pictures must be multiples of."""

    @property
    def drawn_step_px(self) -> int:
        """What the sides of drawings must be multiples of: networks that halve latents cope with odd sizes."""
        return self.latent_px

    @abstractmethod
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents of n × 3 × h × w pixels, before `normalised`."""

    @abstractmethod
    def normalised(self, latents: Tensor) -> Tensor:
        """Latents that were encoded as the denoiser knows them, of about unit variance."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """The pixels of normalised latents, n × 3 × h × w."""

    def as_reference(self, photo: Image.Image) -> Image.Image:
        """A photo in a size that its latents can be referred to, in families that have `references`."""
        raise NotImplementedError

    @abstractmethod
    def in_tiles(self) -> AbstractContextManager[None]:
        """In here pictures larger than the model's own are decoded in tiles of that size, which takes less memory."""

    def latent_shape(self, size: tuple[int, int] | None = None) -> tuple[int, int, int]:
        """The latents of a picture of this width and height in pixels, c × h × w; None: the model's own size."""
        width, height = (side // self.latent_px for side in size or (self.image_px, self.image_px))
        return self.latent_channels, height, width

    # ── prompts ───────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def token_ids(self, texts: list[str]) -> list[Tensor]:
        """Tokenise n texts, as `Denoiser.read` takes them."""

    @abstractmethod
    def unread(self, text: str) -> str:
        """The end of `text` that does not fit into the text encoder; empty if all of it does."""

    @abstractmethod
    def short_words(self) -> list[str]:
        """Words of three or four letters that are one token, the rarest first."""

    @abstractmethod
    def meanings(self, texts: list[str]) -> Tensor:
        """What the text encoder makes of each text on the whole: n × d."""

    @property
    def is_guided(self) -> bool:
        """Whether it draws by classifier-free guidance, from a prediction with and one without the prompt."""
        return True

    def guides(self, denoiser: PromptReader, negative: str | None, *prompts: str) -> TextEmbeddings:
        """What `denoiser` makes of the prompts that guide pictures: the negative one for each, and then the others.

        None: without the negative one, for pictures that are drawn without guidance.
        """
        if negative is None:
            return denoiser.read(self.token_ids([*prompts]))
        return denoiser.read(self.token_ids([negative, *prompts])).with_first_for_each()

    @cached_property
    def rare_words(self) -> list[str]:
        """The words that may become identifiers, the rarest first; of the first ones only those that mean little."""
        words = [word for word in self.short_words() if word not in FORBIDDEN]
        first, rest = words[:READ], words[READ:]
        prompts = [f"a photo of {word}" for word in first]
        batches = (prompts[start : start + READ_BATCH] for start in range(0, len(prompts), READ_BATCH))
        with torch.no_grad():
            readings = torch.cat([self.meanings(batch).float().cpu() for batch in batches])
        return meaningless(first, readings) + rest

    @abstractmethod
    def twin(self, source: ModelSource, placement: Placement) -> "BaseModel":
        """Build this model with the network that predicts, and the schedule, of a few-step twin in `source`."""

    # ── files and weights ──────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def files(self) -> ModelFiles:
        """What it knows of other programs' files, by its weights as they are now."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """The networks, by their names in diffusers' layout."""

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All weights, by the name of their part and their own."""
        named = ((name, part.named_parameters()) for name, part in self.parts.items())
        return ((f"{name}.{own}", weight) for name, weights in named for own, weight in weights)

    @property
    def mixed_precision(self) -> str:
        """The precision that it is kept in, as Accelerate calls it."""
        return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(self.denoiser.dtype, "no")

    @property
    def learns_in_full(self) -> bool:
        """Whether all its weights can learn: not in every family, and not where they are quantised or offloaded."""
        return "full" in self.family.defaults and self.placement.is_plain

    # ── what it is ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def scheduler(self) -> Any:
        """Its noise schedule, as one of diffusers' schedulers."""
        return self.process.scheduler

    @cached_property
    def family(self) -> Family:
        """What family it is of: for its name, and for what its makers say of it."""
        return family_of(self.folder)

    @property
    def folder(self) -> Path:
        """Where it lies, in diffusers' layout."""
        return self.source.folder

    @cached_property
    def sha256(self) -> str:
        """Hash of all the files that decide what it draws."""
        return model_hash(self.folder, self.source.files)

    @property
    def version(self) -> BaseModelVersion:
        """Which one of its name it is."""
        return BaseModelVersion(self.source.revision, self.sha256)


def load_base(
    base_model: str,
    home: Path | None = None,
    precision: Precision = "auto",
    weights: BaseWeights = "plain",
    offload: str = "none",
) -> BaseModel:
    """Load a base model onto the GPU, or the CPU if there is none; raises SetupError if it cannot be had or read.

    What is downloaded or converted stays under `home`, which is DARKROOM_HOME if not given. `weights` and `offload` are
    those of a `Placement`.
    """
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
    dtype = dtype_for(precision, device)
    source = find(
        base_model, models_folder(home or load_settings(TrainerSettings).home), half=dtype is not torch.float32
    )
    with readable(source):
        drawing_of(source.folder)  # what is wrong with it is said now, and not with the first picture
        family = family_of(source.folder)
        family.check_weights(source, dtype)
        base = family.load(source, Placement(device, dtype, weights, offload))
        check_finite(base.weights(), source.called, dtype)
        base.placement = Placement(device, dtype, weights, offload)
        return base


@contextmanager
def readable(source: ModelSource) -> Iterator[None]:
    """Raise SetupError for files of a base model that the libraries cannot read."""
    try:
        yield
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
