"""Old names of weights and files, and models in pieces: read however they are spelt."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.quick import slow_but
from tests.support.single_file_models import Weights, changed, loaded
from trainer.models.base import load_base
from trainer.models.sources import find

UNET, TEXT = "unet/diffusion_pytorch_model", "text_encoder/model"


def test_old_names_of_clip_are_read_in_a_single_file(written: Path, micro_sd1: Path, tmp_path: Path) -> None:
    def renamed(weights: Weights) -> Weights:
        return {name.replace("transformer.text_model.", "transformer."): weight for name, weight in weights.items()}

    read = load_base(str(changed(written, tmp_path, renamed)), home=tmp_path).denoiser.state_dict()
    for name, weight in loaded(micro_sd1).denoiser.state_dict().items():
        assert torch.equal(read[name], weight), name


@pytest.mark.slow
def test_old_names_are_read_in_a_folder(model: Path, micro_sd1: Path) -> None:
    text = load_file(model / f"{TEXT}.safetensors")
    bare = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in text.items()}
    save_file(bare | {"text_model.embeddings.position_ids": torch.arange(32)[None]}, model / f"{TEXT}.safetensors")
    vae, file = {}, model / "vae/diffusion_pytorch_model.safetensors"
    for name, weight in load_file(file).items():
        for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
            name = name.replace(f".{new}.", f".{old}.")
        vae[name] = weight
    save_file(vae, file)
    old, new = load_base(str(model)), loaded(micro_sd1)
    for name, weight in {**new.denoiser.state_dict(), **new.vae.state_dict()}.items():
        assert torch.equal({**old.denoiser.state_dict(), **old.vae.state_dict()}[name], weight), name


def split(weights: Weights, name: Callable[[int], str], folder: Path) -> None:
    names = sorted(weights)
    for piece in (1, 2):
        save_file({n: weights[n] for n in names[piece - 1 :: 2]}, folder / name(piece), {"format": "pt"})


SPELT = {
    "before the numbers": ("diffusion_pytorch_model.fp16-0000{}-of-00002.safetensors", "fp16"),
    "after the numbers": ("diffusion_pytorch_model-0000{}-of-00002.fp16.safetensors", "fp16"),
    "bf16": ("diffusion_pytorch_model-0000{}-of-00002.bf16.safetensors", "bf16"),
    "float16": ("diffusion_pytorch_model-0000{}-of-00002.float16.safetensors", "float16"),
    "none": ("diffusion_pytorch_model-0000{}-of-00002.safetensors", ""),
}


@pytest.mark.parametrize("index", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spelling", slow_but(SPELT, "bf16"))
def test_pieces_are_read_however_they_are_spelt(spelling: str, index: bool, model: Path, micro_sd1: Path) -> None:
    pattern, variant = SPELT[spelling]
    weights = {name: weight.half() for name, weight in load_file(model / f"{UNET}.safetensors").items()}
    (model / f"{UNET}.safetensors").unlink()
    split(weights, lambda piece: pattern.format(piece), model / "unet")
    if index:
        name = f"{UNET}.safetensors.index.{variant}.json" if variant else f"{UNET}.safetensors.index.json"
        (model / name).write_text("{}")
    base = load_base(str(model))
    assert [name for name in base.source.files if ".index." in name] == ([name] if index else [])
    for name, weight in loaded(micro_sd1).denoiser.unet.state_dict().items():
        assert torch.allclose(base.denoiser.unet.state_dict()[name], weight, atol=1e-3), name


@pytest.mark.parametrize("variant", ["bf16", "fp16", "fp32", "float16", "ema"])
def test_a_model_may_have_one_precision_alone(variant: str, model: Path) -> None:
    for path in model.glob("*/*.safetensors"):
        path.rename(path.with_name(f"{path.stem}.{variant}.safetensors"))
    for half in (True, False):
        files = find(str(model), model, half=half).files
        assert all(f".{variant}." in name for name in files if name.endswith(".safetensors"))
    assert load_base(str(model))
