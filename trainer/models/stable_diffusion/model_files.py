"""What files of other programs have of a Stable Diffusion: kohya's, diffusers', ComfyUI's and web UIs'."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from storage.data_files import read_toml
from trainer.models.file_kinds import UnusableFile
from trainer.models.key_locations import KeyLocation, gathered
from trainer.models.model_files import CheckpointKeys, ModelFiles
from trainer.models.safetensors_files import SafetensorsFiles
from trainer.models.stable_diffusion.family import BY_WIDTH, SDXL
from trainer.models.stable_diffusion.file_metadata import family_of_metadata, metadata_for, seems_for
from trainer.models.stable_diffusion.ldm_keys import UNET_PREFIX, VAE_PREFIX, places
from trainer.models.stable_diffusion.prediction_type import (
    PREDICTION,
    RESCALE,
    VELOCITY,
    ZERO_SNR,
    in_words,
    noise_schedule_of,
)

if TYPE_CHECKING:
    from trainer.models.stable_diffusion.model import StableDiffusion

SCHEDULER, STEPS = "dpm++2m", 30  # as `/imagine` draws
NETWORKS = ("unet.", "text_encoder", UNET_PREFIX, "cond_stage_model.", "conditioner.")
OTHER_NOISE = "It was trained on a noise schedule that ends in nothing but noise, and the base model's does not."
HINT = """The model predicts velocity: where a web UI does not find that out by itself, it has to be told.
"""
PREFIXES: dict[str, list[str]] = read_toml("trainer.models.stable_diffusion", "lora_prefixes.toml")


class StableDiffusionFiles(ModelFiles):
    """See `ModelFiles`."""

    def __init__(self, base: "StableDiffusion") -> None:
        self.base, self.denoiser = base, base.denoiser
        self.two = base.denoiser.text_encoder_2 is not None
        self.family = BY_WIDTH.get(base.denoiser.unet.config.cross_attention_dim)
        self.velocity = bool(base.scheduler.config.prediction_type == "v_prediction")
        self.pipeline_class = f"StableDiffusion{'XL' if self.two else ''}Pipeline"
        self.shown_name = self.family.name if self.family else ""
        self.hint = HINT if self.velocity else ""

    def pipeline(self) -> Any:
        """It draws with Darkroom's own scheduler."""
        base, denoiser = self.base, self.denoiser
        parts = {
            "vae": base.vae,
            "text_encoder": denoiser.text_encoder,
            "tokenizer": base.tokenizers[0],
            "unet": denoiser.unet,
            "scheduler": base.process.sampler(SCHEDULER, STEPS, 1, base.device),
        }
        if self.two:
            second = {"text_encoder_2": denoiser.text_encoder_2, "tokenizer_2": base.tokenizers[1]}
            return StableDiffusionXLPipeline(**parts, **second, force_zeros_for_empty_prompt=base.zeros_for_empty)
        nothing = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        return StableDiffusionPipeline(**parts, **nothing)

    def single_file(self) -> dict[str, Tensor]:
        """Latent diffusion's names; web UIs tell by the marks of an SDXL that it predicts velocity, of no other."""
        vae = {f"vae.{name}": weight for name, weight in self.base.vae.state_dict().items()}
        weights = gathered({**self.denoiser.state_dict(), **vae}, places(self.denoiser, self.base.vae))
        if self.two and self.velocity:
            ends_in_noise = self.base.scheduler.config.rescale_betas_zero_snr
            weights |= {name: torch.empty(0) for name in (VELOCITY, *[ZERO_SNR] * bool(ends_in_noise))}
        return weights

    def metadata(self) -> dict[str, str]:
        """In the words of Stability AI's ModelSpec and of kohya's scripts."""
        prediction = {"modelspec.prediction_type": "v" if self.velocity else "epsilon"}
        return prediction | (metadata_for(self.family, self.velocity) if self.family else {})

    def layer_names(self) -> dict[str, tuple[str, ...]]:
        """By diffusers' names and those of the original layout, behind any of their network's prefixes."""
        where = places(self.denoiser, self.base.vae)
        known: dict[str, tuple[str, ...]] = {}
        for path, name in self.denoiser.file_names().items():
            network, _, rest = path.partition(".")
            for own in _own_names(network, rest, where.get(f"{path}.weight")):
                for prefix in PREFIXES[network]:
                    known[f"{prefix}_{own}".lstrip("_").replace(".", "_")] = (path,)
            known[name] = (path,)
        return known

    def checkpoint_keys(self) -> CheckpointKeys:
        """See `ModelFiles`."""
        locations = places(self.denoiser, self.base.vae)
        return CheckpointKeys(locations, ("unet.", UNET_PREFIX), NETWORKS, "vae", VAE_PREFIX)

    def check_noise(self, tensors: SafetensorsFiles) -> str:
        """See `ModelFiles`."""
        try:
            schedule = noise_schedule_of(tensors.shapes, tensors.metadata)
        except ValueError as error:
            raise UnusableFile(str(error)) from error
        ours = self.base.scheduler.config.prediction_type
        if (predicts := schedule.get(PREDICTION, ours)) != ours:
            raise ValueError(f"it predicts {in_words(predicts)}, the base model {in_words(ours)}")
        return OTHER_NOISE if schedule.get(RESCALE) and not self.base.scheduler.config.rescale_betas_zero_snr else ""

    def seems_for(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """See `ModelFiles`."""
        return seems_for(shapes.items())

    def other_family(self, metadata: Mapping[str, str]) -> str:
        """A file for a text encoder alone fits several."""
        named = family_of_metadata(metadata)
        if named is None or (named is self.family if self.family else (named is SDXL) == self.two):
            return ""
        return named.name


def _own_names(network: str, rest: str, place: KeyLocation | None) -> Iterable[str]:
    """What a layer is called within its network."""
    if network == "unet":
        yield rest
        if place and place.name.startswith(UNET_PREFIX):
            yield place.name.removeprefix(UNET_PREFIX).removesuffix(".weight")
    else:
        bare = rest.removeprefix("text_model.")
        yield bare
        yield f"text_model.{bare}"
