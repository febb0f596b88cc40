"""What files say of what they predict: every spelling that savers use, and words that contradict each other."""

import pytest

from trainer.models.stable_diffusion.family import SD1, SD2, SDXL, StableDiffusionFamily
from trainer.models.stable_diffusion.file_metadata import metadata_for
from trainer.models.stable_diffusion.prediction_type import noise_schedule_of

VELOCITY = {"prediction_type": "v_prediction"}
NOISE = {"prediction_type": "epsilon"}


@pytest.mark.parametrize(
    ("names", "metadata", "told"),
    [
        ([], {}, {}),
        (["v_pred"], {}, VELOCITY),
        (["v_pred", "ztsnr"], {}, {**VELOCITY, "rescale_betas_zero_snr": True}),
        ([], {"modelspec.prediction_type": "v"}, VELOCITY),
        ([], {"modelspec.prediction_type": "v_prediction"}, VELOCITY),
        ([], {"modelspec.predict_key": "v"}, VELOCITY),
        ([], {"modelspec.predict_key": "epsilon"}, NOISE),
        ([], {"modelspec.prediction_type": "epsilon", "modelspec.predict_key": "eps"}, NOISE),
        ([], {"prediction_type": '"v-prediction"'}, VELOCITY),
        ([], {"modelspec.prediction_type": "v prediction"}, VELOCITY),
        ([], {"prediction_type": "vprediction"}, VELOCITY),
        ([], {"modelspec.predict_key": "epsilon_prediction"}, NOISE),
        ([], {"ss_v_parameterization": "True"}, VELOCITY),
        ([], {"ss_v_parameterization": "False"}, NOISE),
        ([], {"ss_base_model_version": "sd_v2_768_v"}, VELOCITY),
        ([], {"ss_base_model_version": "sd_v2"}, {}),
        ([], {"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, VELOCITY),
        ([], {"modelspec.architecture": "stable-diffusion-xl-v1-base"}, {}),
        (
            [],
            {"ss_v_parameterization": "True", "ss_zero_terminal_snr": "True"},
            {**VELOCITY, "rescale_betas_zero_snr": True},
        ),
        (["v_pred"], {"modelspec.prediction_type": "epsilon"}, VELOCITY),  # metadata are what merging tools copy
    ],
)
def test_every_spelling_is_read(names: list[str], metadata: dict[str, str], told: dict[str, object]) -> None:
    assert noise_schedule_of(names, metadata) == told


@pytest.mark.parametrize(
    "metadata",
    [
        {"modelspec.prediction_type": "epsilon", "modelspec.predict_key": "v"},
        {"modelspec.predict_key": "v", "ss_v_parameterization": "False"},
        {"modelspec.architecture": "stable-diffusion-v2-768-v", "modelspec.prediction_type": "epsilon"},
    ],
)
def test_what_contradicts_itself_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"metadata contradict each other: by .* it predicts .*, by .*"):
        noise_schedule_of([], metadata)


def automatic1111(metadata: dict[str, str]) -> str:
    """For which models AUTOMATIC1111 takes a LoRA file to be (network.py, `detect_version`)."""
    if metadata.get("ss_base_model_version", "").startswith("sdxl_"):
        return "SDXL"
    return "SD2" if metadata.get("ss_v2") == "True" else "SD1" if metadata else "Unknown"


@pytest.mark.parametrize(("family", "shown"), [(SD1, "SD1"), (SD2, "SD2"), (SDXL, "SDXL")])
@pytest.mark.parametrize("velocity", [True, False])
def test_web_uis_show_a_file_for_its_own_family(family: StableDiffusionFamily, shown: str, velocity: bool) -> None:
    metadata = metadata_for(family, velocity)
    assert automatic1111(metadata) == shown
    assert noise_schedule_of([], metadata) == (VELOCITY if velocity else NOISE)  # and what we write we read
