"""Whether the weights of a Stable Diffusion go together with its settings, and its networks with each other."""

import json

from storage.errors import SetupError
from trainer.models.diffusers_layout import SCHEDULE, config_of
from trainer.models.load_weights import check_part
from trainer.models.safetensors_files import SafetensorsFiles
from trainer.models.sources import ModelSource
from trainer.models.stable_diffusion.model import StableDiffusion
from trainer.models.stable_diffusion.prediction_type import PREDICTION, RESCALE, noise_schedule_of


def check_weights(source: ModelSource, skeleton: StableDiffusion) -> None:
    """Compare names and shapes of all weights with the settings, by the files' headers alone; raises SetupError."""
    for part, network in skeleton.parts.items():
        tensors = check_part(source, part, network)
        if part == "unet":
            _check_marks(source, tensors)
    check_widths(source.called, skeleton)


def check_widths(called: str, skeleton: StableDiffusion) -> None:
    """Raise SetupError if the UNet reads something else than the text encoders write."""
    writes = sum(encoder.config.hidden_size for encoder in skeleton.denoiser.text_encoders)
    reads = skeleton.denoiser.unet.config.cross_attention_dim
    if isinstance(reads, int) and reads != writes:
        raise SetupError(f"{called} is mixed of several: its UNet reads {reads} numbers a word, and gets {writes}.")


def _check_marks(source: ModelSource, tensors: SafetensorsFiles) -> None:
    """Raise SetupError if the weights are marked as made for another noise schedule than the settings say."""
    settings = {PREDICTION: "epsilon", RESCALE: False, **config_of(source.folder, SCHEDULE)}
    try:
        schedule = noise_schedule_of(tensors.shapes, tensors.metadata)
    except ValueError as error:
        raise SetupError(f"{source.called} cannot be used: {error}.") from error
    if other := [name for name, value in schedule.items() if settings[name] != value]:
        marks = ", ".join(f"{name} {json.dumps(schedule[name])}" for name in other)
        raise SetupError(f"{source.called} has a unet that is marked as one of {marks}; {SCHEDULE} says otherwise.")
