"""What a model predicts and which noise schedule it has, in all the places where files tell it. Without torch.

A tensor called `v_pred` or `ztsnr` has been put into a file on purpose, and counts before metadata, which merging tools
copy from one of the models that they merge. Entries of the metadata that contradict each other are refused.
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from storage.errors import SetupError
from trainer.models.diffusers_layout import SCHEDULE, config_of

VELOCITY, ZERO_SNR = "v_pred", "ztsnr"  # tensors without content
PREDICTION, RESCALE = "prediction_type", "rescale_betas_zero_snr"  # in scheduler_config.json
WORDS = {  # however they are joined, and without a "prediction" at their end
    **dict.fromkeys(("v", "velocity"), "v_prediction"),
    **dict.fromkeys(("epsilon", "eps", "e", "noise"), "epsilon"),
    **dict.fromkeys(("sample", "x0", "x"), "sample"),
}
PREDICTION_WORD = re.compile(r"[-_\s]*(pred|prediction|parameteri[sz]ation|objective)$")
IN_WORDS = {"v_prediction": "velocity", "epsilon": "noise", "sample": "the picture itself"}
ENTRIES = (  # of metadata: Stability AI's ModelSpec in both of its wordings, and without its prefix
    "modelspec.prediction_type",
    "modelspec.predict_key",
    "prediction_type",
    "predict_key",
)
SWITCHES = ("ss_v_parameterization", "v_parameterization", "v_pred")  # of kohya's scripts and those after them
SAYS_NOTHING = ("", "none", "null")
ZERO_SNR_SWITCHES = ("ss_zero_terminal_snr", "zero_terminal_snr", "ztsnr", "modelspec.zsnr")
VERSIONS = ("ss_base_model_version", "modelspec.architecture")  # whose names may tell it: sd_v2_v, …-v2-768-v


def noise_schedule_of(names: Collection[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a file says of its noise schedule, in the words of scheduler_config.json; nothing of what it leaves open.

    Raises ValueError where its metadata contradict each other.
    """
    schedule: dict[str, Any] = {}
    if VELOCITY in names:
        schedule[PREDICTION] = "v_prediction"
    elif entries := _predictions(metadata):
        (first, prediction), *others = entries.items()
        for entry, other in others:
            if other != prediction:
                raise ValueError(
                    f"its metadata contradict each other: by {first} it predicts {in_words(prediction)}, by {entry} "
                    f"{in_words(other)}"
                )
        schedule[PREDICTION] = prediction
    if ZERO_SNR in names or any(_is_on(metadata.get(switch, "")) for switch in ZERO_SNR_SWITCHES):
        schedule[RESCALE] = True
    return schedule


def in_words(prediction: str) -> str:
    """What a prediction type is called in sentences."""
    return IN_WORDS.get(prediction, prediction)


def _predictions(metadata: Mapping[str, str]) -> dict[str, str]:
    """What each entry of metadata says that is predicted."""
    predictions = {entry: _normal(metadata[entry]) for entry in ENTRIES if metadata.get(entry)}
    for switch in SWITCHES:
        if metadata.get(switch, "None").lower() not in SAYS_NOTHING:
            predictions[switch] = "v_prediction" if _is_on(metadata[switch]) else "epsilon"
    for entry in VERSIONS:
        if metadata.get(entry, "").partition("/")[0].lower().endswith(("_v", "-v")):
            predictions[entry] = "v_prediction"
    return predictions


def _normal(word: str) -> str:
    word = word.strip().strip('"').lower()
    return WORDS.get(PREDICTION_WORD.sub("", word), word)


def _is_on(word: str) -> bool:
    return word.strip().strip('"').lower() in ("true", "1", "yes")


def check_schedule(schedule: Mapping[str, Any], beside: Path, called: str) -> None:
    """Raise SetupError if the settings in the folder beside a file say something else than the file."""
    settings = config_of(beside, SCHEDULE) if (beside / SCHEDULE).is_file() else {}
    for name, value in schedule.items():
        if settings.get(name, value) != value:
            raise SetupError(
                f"{called} is marked as one of {name} {json.dumps(value)}, and {beside / SCHEDULE} says "
                f"{json.dumps(settings[name])}. Write there what is true of it: with the other it would learn noise."
            )


def write_schedule(schedule: Mapping[str, Any], folder: Path) -> None:
    """Have the settings in a folder say of the noise schedule what the file says."""
    settings = config_of(folder, SCHEDULE)
    if all(settings.get(name) == value for name, value in schedule.items()):
        return
    spacing = {"timestep_spacing": "trailing"} if RESCALE in schedule else {}  # from the very last step
    part = folder / f"{SCHEDULE}.part"
    part.write_text(json.dumps({**settings, **schedule, **spacing}, indent=2))
    part.replace(folder / SCHEDULE)
