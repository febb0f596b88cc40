"""Files to import that are odd: wrong data types, scales and alphas, wrappers' names, other kinds of adapters."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import SetupError, UserError
from tests.support.converted_subjects import bring
from tests.support.quick import slow_but
from trainer.dreambooth import lora
from trainer.models.base import BaseModel, load_base
from trainer.models.load_weights import opened

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
KOHYA = f"lora_unet_{LAYER.replace('.', '_')}"
DOWN, UP, ALPHA = f"{KOHYA}.lora_down.weight", f"{KOHYA}.lora_up.weight", f"{KOHYA}.alpha"
RANK = 4


@pytest.fixture(scope="module")
def base(micro_sd1: Path) -> BaseModel:
    torch.set_num_threads(1)
    return load_base(str(micro_sd1))


def pair() -> dict[str, Tensor]:
    chance = torch.Generator().manual_seed(1)
    return {DOWN: torch.randn((RANK, 16), generator=chance), UP: torch.randn((16, RANK), generator=chance)}


def refusal(base: BaseModel, folder: Path, weights: dict[str, Tensor], **metadata: str) -> str:
    save_file(weights, folder / "it.safetensors", metadata or None)
    with pytest.raises(UserError) as refused:
        bring(base, folder / "it.safetensors", folder / "out")
    return str(refused.value)


def added(base: BaseModel, folder: Path, weights: dict[str, Tensor]) -> Tensor:
    save_file(weights, folder / "it.safetensors")
    bring(base, folder / "it.safetensors", folder / "out")
    (delta,) = lora.deltas(load_file(folder / "out"), base.denoiser).values()
    return delta


def near(delta: Tensor, share: float) -> bool:
    wanted = pair()[UP] @ pair()[DOWN]
    return bool((delta - wanted).norm() < share * wanted.norm())


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_floats_of_every_width_are_taken(dtype: str, base: BaseModel, tmp_path: Path) -> None:
    weights = {name: weight.to(getattr(torch, dtype)) for name, weight in pair().items()}
    assert near(added(base, tmp_path, weights), 0.2 if "8" in dtype else 0.01)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "bool", "complex64"])
def test_what_is_no_float_is_refused(dtype: str, base: BaseModel, tmp_path: Path) -> None:
    weights = {name: weight.to(getattr(torch, dtype)) for name, weight in pair().items()}
    told = refusal(base, tmp_path, weights)
    assert "integers of" in told or "the data type" in told


@pytest.mark.parametrize("shape", [(), (1,), (RANK,), (RANK, 1)])
def test_a_scale_is_of_a_weight_or_of_its_rows(shape: tuple[int, ...], base: BaseModel, tmp_path: Path) -> None:
    weights = pair()
    scale, half = torch.full(shape, 2.0), (weights[DOWN] / 2).to(torch.float8_e4m3fn)
    assert near(added(base, tmp_path, {**weights, DOWN: half, f"{KOHYA}.lora_down.scale_weight": scale}), 0.1)


@pytest.mark.parametrize("shape", [(0,), (3,), (1, 16), (2, 2), (RANK, 4)])
def test_other_scales_are_refused(shape: tuple[int, ...], base: BaseModel, tmp_path: Path) -> None:
    weights = {**pair(), f"{KOHYA}.lora_down.scale_weight": torch.ones(shape)}
    assert "is quantised (scales for parts of rows)" in refusal(base, tmp_path, weights)
    with pytest.raises(SetupError, match="scales for parts of rows"):
        opened([("", tmp_path / "it.safetensors")], "The base model")


@pytest.mark.parametrize("prefix", ["unet._orig_mod.", "module.", "unet.module.", "module._orig_mod.", "unet."])
def test_names_of_pytorchs_wrappers_are_left_out(prefix: str, base: BaseModel, tmp_path: Path) -> None:
    peft = {f"{prefix}{LAYER}.lora_A.weight": pair()[DOWN], f"{prefix}{LAYER}.lora_B.weight": pair()[UP]}
    assert near(added(base, tmp_path, peft), 0.01)


def other(layer: str) -> dict[str, Tensor]:
    return {f"{layer}.lora_A.weight": pair()[DOWN], f"{layer}.lora_B.weight": pair()[UP]}


ODD = {
    "an alpha of 0": (pair() | {ALPHA: torch.tensor(0.0)}, "nothing was learned in it"),
    "zeros": ({name: 0 * weight for name, weight in pair().items()}, "nothing was learned in it"),
    "a huge alpha": (pair() | {ALPHA: torch.tensor(1e38)}, "is no number that makes sense"),
    "no alpha": (pair() | {ALPHA: torch.ones(0)}, "is no number that makes sense"),
    "NaN as alpha": (pair() | {ALPHA: torch.tensor(torch.nan)}, "not all of its weights are numbers"),
    "large numbers": ({n: 1e30 * weight for n, weight in pair().items()}, "too large to be computed with"),
    "bare names": ({f"{LAYER}.lora_A": pair()[DOWN]}, "called in a way that Darkroom does not know"),
    "an embedding": ({f"{LAYER}.lora_embedding_A": pair()[DOWN]}, "called in a way that Darkroom does not know"),
    "a VeRA": ({f"{LAYER}.vera_lambda_b": pair()[DOWN]}, "is a VeRA"),
    "an AdaLoRA": (other(LAYER) | {f"{LAYER}.lora_E": torch.ones(4, 1)}, "is an AdaLoRA"),
    "Stable Diffusion 3": (other("transformer.transformer_blocks.0.attn.add_k_proj"), "for Stable Diffusion 3"),
    "Wan": (other("diffusion_model.blocks.0.self_attn.q"), "for a model built on a transformer"),
}


@pytest.mark.parametrize("what", slow_but(ODD, *list(ODD)[::3]))
def test_an_odd_file_gets_its_sentence(what: str, base: BaseModel, tmp_path: Path) -> None:
    weights, sentence = ODD[what]
    told = refusal(base, tmp_path, weights)
    assert sentence in told and told.endswith(".")


NO_WEIGHTS = {
    b"PK\3\4" + bytes(26) + b"lora.safetensors": "is a ZIP archive: unpack it",
    b"PK\3\4" + bytes(26) + b"archive/data.pkl": "is a pickle",
    b"\x80\2}q\0.": "is a pickle",
    b"<!DOCTYPE html><html>": "is a web page and no weights",
    b'{"error": "Unauthorized"}': "is JSON and no weights",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n": "is a pointer of Git LFS",
}


@pytest.mark.parametrize("begins", NO_WEIGHTS)
def test_what_came_instead_of_weights_is_named(begins: bytes, base: BaseModel, tmp_path: Path) -> None:
    file = tmp_path / "it.safetensors"
    file.write_bytes(begins.ljust(64, b" "))
    with pytest.raises(UserError) as refused:
        bring(base, file, tmp_path / "out")
    assert NO_WEIGHTS[begins] in str(refused.value)
    with pytest.raises(SetupError) as unusable:
        opened([("", file)], "The base model")
    assert NO_WEIGHTS[begins] in str(unusable.value)


def test_metadata_of_another_family_are_told(base: BaseModel, tmp_path: Path) -> None:
    for version, says in {"sdxl_base_v1-0": "By its metadata it was made for Stable Diffusion XL", "sd_v1": ""}.items():
        save_file(pair(), tmp_path / "it.safetensors", {"ss_base_model_version": version})
        assert bring(base, tmp_path / "it.safetensors", tmp_path / "out").says.startswith(says)
        assert says or not bring(base, tmp_path / "it.safetensors", tmp_path / "out").says


def test_a_switch_that_says_none_says_nothing(base: BaseModel, tmp_path: Path) -> None:
    told = refusal(base, tmp_path, pair(), ss_v_parameterization="None", ss_base_model_version="sd_v2_v")
    assert "it predicts velocity, the base model noise" in told
