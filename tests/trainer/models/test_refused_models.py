"""Models of another kind: the sentence says what a file is, before it is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import SetupError, UserError
from storage.settings.trainer import TrainerSettings
from tests.support.single_file_models import Weights, changed, tell
from trainer.diffusion import sampling
from trainer.doctor import report
from trainer.models.base import BaseModel, load_base
from trainer.models.diffusers_layout import INDEX
from trainer.models.sources import find

CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"

SCHEDULE = "scheduler/scheduler_config.json"

UNET = "unet/diffusion_pytorch_model"

LDM = "model.diffusion_model."


def channels(number: int) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {CONV_IN: torch.ones(16, number, 3, 3)}


def only(beginning: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: weight for name, weight in weights.items() if name.startswith(beginning)}


def instead(*names: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: torch.ones(2, 2) for name in names}


ELSE: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "inpainting": (channels(9), "an inpainting model (its UNet takes 9 channels and not 4)"),
    "editing": (channels(8), "a model for editing by instructions, as InstructPix2Pix"),
    "upscaler": (channels(7), "an upscaler (its UNet takes 7 channels"),
    "depth": (channels(5), "a depth-to-image model"),
    "LCM": (
        lambda weights: weights | {f"{LDM}time_embed.cond_proj.weight": torch.ones(64, 256)},
        "a latent consistency model (LCM)",
    ),
    "ControlNet": (lambda weights: weights | {"control_model.zero_convs.0.0.weight": torch.ones(1)}, "a ControlNet"),
    "refiner": (
        instead(f"{LDM}input_blocks.1.1.norm.weight", "conditioner.embedders.0.model.ln_final.weight"),
        "refiner",
    ),
    "Stable Diffusion 3": (instead(f"{LDM}joint_blocks.0.x_block.attn.qkv.weight"), "of Stable Diffusion 3"),
    "Flux": (instead(f"{LDM}double_blocks.0.img_attn.qkv.weight"), "of Flux"),
    "VAE": (only("first_stage_model."), "it is a VAE alone"),
    "UNet": (only("model.diffusion_model."), "has no VAE and no text encoder in it"),
    "LoRA": (instead("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"), "it is a LoRA"),
    "embedding": (instead("emb_params"), "it is a textual inversion"),
    "CLIP": (instead("text_model.encoder.layers.0.mlp.fc1.weight"), "it is a text encoder alone"),
}


@pytest.mark.parametrize("what", ELSE)
def test_a_single_file_of_another_kind_is_named(what: str, written: Path, tmp_path: Path) -> None:
    change, sentence = ELSE[what]
    path = changed(written, tmp_path, change)
    for weights in (False, True):
        with pytest.raises(SetupError) as refused:
            find(str(path), tmp_path, half=False, weights=weights)
        assert sentence in str(refused.value)
    assert not [folder for folder in tmp_path.iterdir() if folder.name != "it" and folder.is_dir()]


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("unet/config.json", {"in_channels": 9}, "takes 9 channels and not 4: it is an inpainting model"),
        ("unet/config.json", {"in_channels": 8}, "a model for editing by instructions"),
        ("unet/config.json", {"time_cond_proj_dim": 256}, "it is a latent consistency model (LCM)"),
        ("unet/config.json", {"addition_embed_type": "text_time", "cross_attention_dim": 1280}, "the refiner of SDXL"),
        (
            SCHEDULE,
            {"rescale_betas_zero_snr": True},
            "it predicts noise (prediction_type epsilon) where there is nothing",
        ),
        ("unet/config.json", {"block_out_channels": [24, 48]}, "cannot be read, its unet does not fit its settings"),
        ("vae/config.json", {"latent_channels": 16}, "its VAE has 16 channels and not 4"),
        ("unet/config.json", {"down_block_types": ["NoBlock2D"]}, "cannot be read as those of a Stable Diffusion"),
    ],
)
def test_a_folder_of_another_kind_is_named(model: Path, name: str, settings: dict[str, Any], sentence: str) -> None:
    tell(model, name, **settings)
    with pytest.raises(SetupError) as refused:
        load_base(str(model))
    assert sentence in str(refused.value)


def test_a_model_that_does_not_say_its_size_has_the_usual_one(model: Path) -> None:
    for size, side in ((None, 64), ([8, 16], 8)):
        tell(model, "unet/config.json", sample_size=size)
        base = load_base(str(model))
        assert base.image_px == side * base.latent_px


def test_a_tokenizer_of_another_model_is_named(model: Path) -> None:
    (model / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)
    tell(model, "tokenizer/vocab.json", **{f"word{i}": 100_000 + i for i in range(9)})
    with pytest.raises(SetupError, match="is mixed of several: its tokenizer has"):
        load_base(str(model))


def test_the_doctor_compares_shapes(
    model: Path, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_file(model / f"{UNET}.safetensors")
    save_file(weights | {"conv_in.weight": torch.ones(16, 9, 3, 3)}, model / f"{UNET}.safetensors")
    single = changed(written, tmp_path, channels(9))
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    for path in (model, single):
        monkeypatch.setenv("DARKROOM_BASE_MODEL", str(path))
        told = report(TrainerSettings())
        assert told.state == "fail" and "an inpainting model (its UNet takes 9 channels" in told.lines[0]


def test_a_mark_of_zero_snr_on_a_model_of_noise_is_refused(written: Path, tmp_path: Path) -> None:
    path = changed(written, tmp_path, lambda weights: weights | {"ztsnr": torch.empty(0)})
    settings = json.loads((path.with_suffix("") / SCHEDULE).read_text())
    settings.pop("rescale_betas_zero_snr", None)
    (path.with_suffix("") / SCHEDULE).write_text(json.dumps(settings))
    for weights in (False, True):
        with pytest.raises(SetupError, match="where there is nothing but noise"):
            find(str(path), tmp_path, half=False, weights=weights)


def test_a_mark_in_a_folder_counts_too(model: Path) -> None:
    weights = load_file(model / f"{UNET}.safetensors")
    save_file(weights | {"v_pred": torch.empty(0)}, model / f"{UNET}.safetensors")
    with pytest.raises(SetupError, match='a unet that is marked as one of prediction_type "v_prediction"'):
        load_base(str(model))
    tell(model, SCHEDULE, prediction_type="v_prediction")
    assert load_base(str(model))


@pytest.mark.parametrize("metadata", [{"modelspec.predict_key": "v"}, {"ss_v_parameterization": "True"}])
def test_every_word_for_velocity_is_heeded(metadata: dict[str, str], written: Path, tmp_path: Path) -> None:
    path = changed(written, tmp_path, lambda weights: weights, **metadata)
    with pytest.raises(SetupError, match=r'is marked as one of prediction_type "v_prediction", and .* says "epsilon"'):
        find(str(path), tmp_path, half=False, weights=False)
    settings = json.loads((path.with_suffix("") / SCHEDULE).read_text())
    del settings["prediction_type"]
    (path.with_suffix("") / SCHEDULE).write_text(json.dumps(settings))
    assert load_base(str(path), home=tmp_path).scheduler.config.prediction_type == "v_prediction"


def test_metadata_that_contradict_each_other_are_refused(written: Path, tmp_path: Path) -> None:
    words = {"modelspec.predict_key": "v", "modelspec.prediction_type": "epsilon"}
    with pytest.raises(SetupError, match="its metadata contradict each other"):
        find(str(changed(written, tmp_path, lambda weights: weights, **words)), tmp_path, half=False, weights=False)


# ── schedulers ────────────────────────────────────────────────────────────────────────────────────────────────────


def drawn(base: BaseModel, scheduler: str) -> Tensor:
    return sampling.sample_latents(base, base.denoiser, "a dog", [3], steps=4, guidance=5.0, scheduler=scheduler)


def test_a_schedule_that_ends_in_noise_is_drawn_with_or_refused(micro_sd2: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(micro_sd2, tmp_path / "model"))
    tell(model, SCHEDULE, rescale_betas_zero_snr=True, timestep_spacing="trailing")
    base = load_base(str(model))
    with pytest.raises(
        UserError, match=r"pndm cannot draw with this base model.* Take one of ddim, euler, euler-a, dpm"
    ):
        drawn(base, "pndm")
    for name in ("ddim", "euler", "euler-a", "dpm++2m"):
        steps_of = sampling.scheduler_for(base, name, 4)
        assert steps_of.config.rescale_betas_zero_snr and steps_of.alphas_cumprod[-1] < 1e-6
        assert drawn(base, name).isfinite().all()


def test_a_weight_too_many_in_a_folder_is_named(model: Path) -> None:
    weights = load_file(model / f"{UNET}.safetensors")
    save_file(weights | {"mystery.weight": torch.ones(2)}, model / f"{UNET}.safetensors")
    with pytest.raises(SetupError, match=r"has weights in its unet that its settings do not tell of: mystery\.weight"):
        load_base(str(model))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "It is a LoRA, which `darkroom import` takes"),
        (["pytorch_lora_weights.safetensors"], "It is a LoRA"),
        (
            ["config.json", "diffusion_pytorch_model.safetensors"],
            "It is one network alone: a ControlNet, a VAE or a UNet",
        ),
        (["tokenizer_2/vocab.json", "text_encoder_2/config.json", "unet/config.json"], "the refiner of SDXL"),
        (["transformer/config.json", "vae/config.json"], "another kind of model, built on a transformer"),
        (["sd_xl.safetensors"], "It comes as a single file"),
    ],
)
def test_a_folder_of_something_else_is_named(names: list[str], sentence: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(SetupError) as refused:
        find(str(tmp_path), tmp_path, half=False)
    assert sentence in str(refused.value)


def test_a_folder_for_another_pipeline_is_named(tmp_path: Path) -> None:
    for part in ("transformer", "text_encoder", "vae", "scheduler"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text("{}")
    (tmp_path / INDEX).write_text('{"_class_name": "QwenImagePipeline"}')
    with pytest.raises(SetupError) as refused:
        find(str(tmp_path), tmp_path, half=False)
    assert "is for diffusers' QwenImagePipeline, which Darkroom does not know. Darkroom needs a" in str(refused.value)


def test_parts_of_several_models_do_not_go_together(model: Path, micro_sdxl: Path) -> None:
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(model / part)
        shutil.copytree(micro_sdxl / part, model / part)
    with pytest.raises(SetupError, match="is mixed of several: its UNet reads 32 numbers a word, and gets 24"):
        load_base(str(model))
