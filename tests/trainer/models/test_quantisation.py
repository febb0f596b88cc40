"""Quantised weights: 8-bit floating point is read with its scales, and every other format is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import SetupError, UserError
from tests.support.converted_subjects import bring
from tests.support.quick import slow_but
from tests.support.single_file_models import Weights, changed
from trainer.models.base import BaseModel, load_base
from trainer.models.sources import find

LAYER = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def base(micro_sd1: Path) -> BaseModel:
    torch.set_num_threads(1)
    return load_base(str(micro_sd1))


def is_layer(name: str, weight: Tensor) -> bool:
    return name.endswith(".weight") and weight.ndim == 2 and "embedding" not in name


def in_fp8(weights: Weights, scale: str, mark: bool = False, rows: bool = False) -> Weights:
    """Each layer's weight in fp8 beside what it is to be multiplied by."""
    found: Weights = {"scaled_fp8": torch.empty(2, dtype=torch.float8_e4m3fn)} if scale == "scale_weight" else {}
    for name, weight in weights.items():
        if not is_layer(name, weight):
            found[name] = weight
            continue
        layer = name.removesuffix(".weight")
        by = (weight.abs().amax(1, keepdim=True) if rows else weight.abs().max()) / 448
        found[name] = (weight / by).to(torch.float8_e4m3fn)
        found[f"{layer}.{scale}"] = by.float()
        found[f"{layer}.{scale.replace('weight', 'input')}"] = torch.ones(())
        if mark:
            told = json.dumps({"format": "float8_e4m3fn"}).encode()
            found[f"{layer}.comfy_quant"] = torch.tensor(list(told), dtype=torch.uint8)
    return found


SCALED: dict[str, Callable[[Weights], Weights]] = {
    "scaled fp8": lambda weights: in_fp8(weights, "scale_weight"),
    "fp8 of newer ComfyUI": lambda weights: in_fp8(weights, "weight_scale", mark=True),
    "fp8 with a scale for each row": lambda weights: in_fp8(weights, "weight_scale", rows=True),
    "plain fp8": lambda weights: {n: w.to(torch.float8_e4m3fn) if is_layer(n, w) else w for n, w in weights.items()},
    "bfloat16": lambda weights: {n: w.to(torch.bfloat16) for n, w in weights.items()},
}


@pytest.mark.parametrize("kept", slow_but(SCALED, "scaled fp8"))
def test_a_base_model_is_read_with_its_scales(kept: str, written: Path, base: BaseModel, tmp_path: Path) -> None:
    read = load_base(str(changed(written, tmp_path, SCALED[kept])), home=tmp_path)
    for name, weight in base.denoiser.state_dict().items():
        assert (read.denoiser.state_dict()[name] - weight).norm() <= 0.05 * weight.norm(), name


def test_an_import_is_read_with_its_scales(written: Path, base: BaseModel, tmp_path: Path) -> None:
    def learned(weights: Weights) -> Weights:
        return in_fp8({n: w + 0.5 if n == f"{LAYER}.weight" else w for n, w in weights.items()}, "scale_weight")

    bring(base, changed(written, tmp_path, learned), tmp_path / "out")
    back = load_file(tmp_path / "out")
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    assert (back[name].float().mean() - 0.5).abs() < 0.02
    others = [difference.float().abs().max() for other, difference in back.items() if other != name]
    assert max(others, default=torch.zeros(())) < 0.1  # as fp8 rounds, and no thousandfold


def test_rounding_to_fp8_is_not_learning(written: Path, base: BaseModel, tmp_path: Path) -> None:
    def learned(weights: Weights) -> Weights:
        return SCALED["plain fp8"]({n: w + 0.5 if n == f"{LAYER}.weight" else w for n, w in weights.items()})

    bring(base, changed(written, tmp_path, learned), tmp_path / "out")
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    assert load_file(tmp_path / "out").keys() == {name}


def packed(weights: Weights, *extra: str) -> Weights:
    """A layer in bytes, with what its format keeps beside it."""
    half = weights[f"{LAYER}.weight"].numel() // 2
    beside = {f"{LAYER}.{name}": torch.ones(4) for name in extra}
    return {**weights, f"{LAYER}.weight": torch.zeros(half, 1, dtype=torch.uint8), **beside}


def told(weights: Weights, name: str) -> Weights:
    mark = torch.tensor(list(json.dumps({"format": name}).encode()), dtype=torch.uint8)
    return {**weights, f"{LAYER}.comfy_quant": mark}


NF4 = ("weight.absmax", "weight.quant_map", "weight.quant_state.bitsandbytes__nf4")
REFUSED: dict[str, Callable[[Weights], Weights]] = {
    "bitsandbytes NF4": lambda weights: packed(weights, *NF4),
    "bitsandbytes FP4": lambda weights: packed(weights, "weight.absmax", "weight.quant_state.bitsandbytes__fp4"),
    "bitsandbytes in 8 bits": lambda weights: packed(weights, "SCB"),
    "GPTQ or AWQ": lambda weights: packed(weights, "qweight", "qzeros", "scales"),
    "SVDQuant": lambda weights: packed(weights, "qweight", "wscales", "smooth_factor"),
    "optimum-quanto": lambda weights: packed(weights, "weight._data", "weight._scale"),
    "NVFP4": lambda weights: packed(weights, "weight_scale", "weight_scale_2"),
    "fp8 in blocks": lambda weights: packed(weights, "weight_scale_inv"),
    "integers of 8 bits": lambda weights: packed(weights, "weight_scale"),
    "int8_tensorwise": lambda weights: told(weights, "int8_tensorwise"),
}


@pytest.mark.parametrize("called", REFUSED)
def test_other_formats_are_refused_by_name(called: str, written: Path, base: BaseModel, tmp_path: Path) -> None:
    path = changed(written, tmp_path, REFUSED[called])
    with pytest.raises(SetupError) as refused:
        find(str(path), tmp_path, half=False, weights=False)
    assert f"is quantised ({called})" in str(refused.value)
    with pytest.raises(UserError) as misfit:
        bring(base, path, tmp_path / "out")
    assert f"is quantised ({called})" in str(misfit.value) and "does not fit" not in str(misfit.value)


def test_a_format_that_metadata_name_is_refused(written: Path, tmp_path: Path) -> None:
    layers = json.dumps({"layers": {LAYER: {"format": "mxfp8"}}})
    path = changed(written, tmp_path, lambda weights: weights, _quantization_metadata=layers)
    with pytest.raises(SetupError, match=r"is quantised \(mxfp8\)"):
        find(str(path), tmp_path, half=False, weights=False)


def test_gguf_is_refused_by_name(base: BaseModel, tmp_path: Path) -> None:
    (tmp_path / "it.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(SetupError, match=r"is quantised \(GGUF\)"):
        find(str(tmp_path / "it.gguf"), tmp_path, half=False)
    with pytest.raises(UserError, match=r"is quantised \(GGUF\)"):
        bring(base, tmp_path / "it.gguf", tmp_path / "out")


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_folder_of_a_quantised_model_is_refused(part: str, micro_sd1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(micro_sd1, tmp_path / "model"))
    settings = json.loads((folder / part / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / part / "config.json").write_text(json.dumps(settings))
    with pytest.raises(SetupError, match=rf"has a {part} that is quantised \(bitsandbytes\)"):
        load_base(str(folder))


def test_a_folder_may_be_in_fp8_with_scales(base: BaseModel, micro_sd1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(micro_sd1, tmp_path / "model"))
    save_file(in_fp8(load_file(folder / UNET), "scale_weight"), folder / UNET)
    read = load_base(str(folder)).denoiser.state_dict()
    for name, weight in base.denoiser.state_dict().items():
        assert (read[name] - weight).norm() <= 0.05 * weight.norm(), name


def test_a_weight_that_nobody_asks_for_is_no_secret(written: Path, base: BaseModel, tmp_path: Path) -> None:
    inside = changed(written, tmp_path, lambda weights: {**weights, f"{LAYER}.mystery": torch.ones(3)})
    with pytest.raises(SetupError, match=r"do not tell of: model\.diffusion_model\..*mystery"):
        find(str(inside), tmp_path, half=False, weights=False)
    with pytest.raises(UserError, match=r"has weights that the base model has not: .*mystery"):
        bring(base, inside, tmp_path / "out")


EXTRAS = [
    "cond_stage_model.transformer.text_model.embeddings.position_ids",
    "model_ema.diffusion_modelinput_blocks00weight",
    "denoiser.sigmas",
    "alphas_cumprod",
    "posterior_mean_coef1",
    "cond_stage_model.logit_scale",
]


def test_known_extras_are_harmless(written: Path, base: BaseModel, tmp_path: Path) -> None:
    def more(weights: Weights) -> Weights:
        weights[f"{LAYER}.weight"] = weights[f"{LAYER}.weight"] + 0.5
        return {**weights, **{name: torch.ones(3) for name in EXTRAS}}

    path = changed(written, tmp_path, more)
    assert load_base(str(path), home=tmp_path)
    assert bring(base, path, tmp_path / "out").says == ""
