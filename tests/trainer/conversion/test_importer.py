"""Imports of checkpoints: they come back as what was learned; what cannot be taken gets its sentence."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import UserError
from tests.support.converted_subjects import MicroBases, bring, change, export_of
from tests.support.quick import pairs_slow_but, slow_but
from trainer.conversion.exporter import export
from trainer.dreambooth.weights import save_learned
from trainer.models.base import BaseModel


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseModel]:
    return MicroBases(tmp_path_factory)


@pytest.mark.parametrize(
    ("how", "name"),
    pairs_slow_but(
        product(("single", "diffusers", "unet"), ("sd1", "sd2", "sdxl")),
        ("single", "sd1"), ("diffusers", "sd2"), ("unet", "sd1"),
    ),
)  # fmt: skip
def test_a_checkpoint_comes_back_as_what_was_learned(
    name: str, how: str, bases: dict[str, BaseModel], tmp_path: Path
) -> None:
    base = bases[name]
    save_learned(tmp_path / "learned", change(base.denoiser), base.denoiser)
    written = "single" if how == "single" else "diffusers"
    export(export_of(base, tmp_path / "learned", tmp_path / "files", written, precision="full"), lambda what: None)
    unet = tmp_path / "files" / "unet" / "diffusion_pytorch_model.safetensors"
    file = {"single": tmp_path / "files" / "rex.safetensors", "diffusers": tmp_path / "files", "unet": unet}[how]
    ended = bring(base, file, tmp_path / "out")
    learned, back = load_file(tmp_path / "learned"), load_file(tmp_path / "out")
    if how == "unet":
        learned = {name: value for name, value in learned.items() if name.startswith("unet.")}
    assert ended.method == "full"
    assert ended.says == ("It brings no text encoder, so the base model's reads." if how == "unet" else "")
    assert back.keys() == learned.keys()
    for key, value in learned.items():
        assert (back[key].float() - value.float()).norm() < 0.02 * value.float().norm(), key


def original(base: BaseModel, folder: Path, precision: str = "full", by: float = 0.1) -> dict[str, Tensor]:
    """A checkpoint of the base model in the original layout, in which one layer has learned."""
    save_file({"unet.conv_in.weight": by * torch.ones_like(base.denoiser.unet.conv_in.weight)}, folder / "learned")
    export(export_of(base, folder / "learned", folder / "files", "single", precision=precision), lambda what: None)
    return load_file(folder / "files" / "rex.safetensors")


def test_rounding_is_not_learning(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    weights = original(bases["sd1"], tmp_path, "half")
    save_file({**weights, "model_ema.decay": torch.zeros(())}, tmp_path / "file.safetensors")
    bring(bases["sd1"], tmp_path / "file.safetensors", tmp_path / "out")
    assert load_file(tmp_path / "out").keys() == {"unet.conv_in.weight"}


def test_a_text_encoder_may_be_a_level_higher(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    weights = {name.replace(".text_model.", "."): weight for name, weight in original(bases["sd1"], tmp_path).items()}
    weights["cond_stage_model.transformer.final_layer_norm.bias"] += 0.1
    save_file(weights, tmp_path / "file.safetensors")
    assert bring(bases["sd1"], tmp_path / "file.safetensors", tmp_path / "out").says == ""
    assert load_file(tmp_path / "out").keys() == {"unet.conv_in.weight", "text_encoder.final_layer_norm.bias"}


def test_a_folder_may_be_in_pieces_and_in_half_precision(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    base = bases["sd1"]
    learned = base.denoiser.copy()
    learned.unet.conv_in.weight.data += 0.1
    learned.unet.save_pretrained(tmp_path / "files" / "unet", variant="fp16", max_shard_size="100KB")
    assert len(list((tmp_path / "files" / "unet").glob("*.fp16-0000?-of-*.safetensors"))) > 1
    bring(base, tmp_path / "files", tmp_path / "out")
    assert load_file(tmp_path / "out").keys() == {"unet.conv_in.weight"}


def test_another_vae_is_left_out_and_said(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    weights = original(bases["sd1"], tmp_path)
    weights["first_stage_model.decoder.conv_in.weight"] += 0.1
    save_file(weights, tmp_path / "file.safetensors")
    says = bring(bases["sd1"], tmp_path / "file.safetensors", tmp_path / "out").says
    assert says == "It brings a VAE of its own, which is left out: the base model's draws."


def lora_for(width: int) -> dict[str, Tensor]:
    """A LoRA of one layer, for a base model that is as wide as that."""
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    return {f"{name}.lora_down.weight": torch.ones(4, width), f"{name}.lora_up.weight": torch.ones(16, 4)}


def without(weights: dict[str, Tensor], ending: str) -> dict[str, Tensor]:
    return {name: weight for name, weight in weights.items() if not name.endswith(ending)}


Q = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
ONE = {f"{Q}.lora_down.weight": torch.ones(4, 32), f"{Q}.lora_up.weight": torch.ones(32, 4)}
REFUSED: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "LoHa": (
        lambda sd1: {f"{Q}.hada_w1_a": torch.ones(4, 4)},
        "file.safetensors is a LoHa. Darkroom takes LoRA files and whole",
    ),
    "LoKr": (lambda sd1: {f"{Q}.lokr_w1": torch.ones(4, 4)}, "is a LoKr"),
    "DoRA": (lambda sd1: ONE | {f"{Q}.dora_scale": torch.ones(4)}, "is a DoRA"),
    "textual inversion": (lambda sd1: {"emb_params": torch.ones(2, 32)}, "is a textual inversion"),
    "a LoRA for SDXL": (
        lambda sd1: lora_for(2048),
        "does not fit the base model: it seems to be for Stable Diffusion XL.",
    ),
    "a LoRA for SD 2": (lambda sd1: lora_for(1024), "seems to be for Stable Diffusion 2.x"),
    "a LoRA for Flux": (
        lambda sd1: {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(4, 3072)},
        "seems to be for Flux",
    ),
    "a LoRA of another width": (lambda sd1: lora_for(56), "attn2_to_k does not fit"),
    "a layer that is not there": (
        lambda sd1: {k.replace("mid", "lid"): v for k, v in ONE.items()},
        "the base model has no layer lora_unet_lid_block",
    ),
    "half a layer": (lambda sd1: without(ONE, "lora_up.weight"), "is not there whole"),
    "a transposed layer": (lambda sd1: {k: v.T.contiguous() for k, v in ONE.items()}, "does not fit"),
    "a LoRA with something else in it": (lambda sd1: ONE | {"encoder": torch.ones(1)}, "encoder is no part of a LoRA"),
    "numbers that are none": (
        lambda sd1: {k: v * torch.nan for k, v in ONE.items()},
        "not all of its weights are numbers",
    ),
    "nothing": (lambda sd1: {"a": torch.ones(1)}, "neither a LoRA nor a checkpoint of Stable Diffusion"),
    "a part of a checkpoint": (
        lambda sd1: without(sd1, "output_blocks.1.0.in_layers.2.bias"),
        "it has no model.diffusion_model.output_blocks.1.0.in_layers.2.bias",
    ),
    "a checkpoint for inpainting": (
        lambda sd1: sd1 | {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(16, 9, 3, 3)},
        "it is an inpainting model (its UNet takes 9 channels and not 4)",
    ),
    "a checkpoint of velocity": (
        lambda sd1: sd1 | {"v_pred": torch.ones(0)},
        "it predicts velocity, the base model noise",
    ),
}


@pytest.fixture(scope="module")
def sd1(bases: dict[str, BaseModel], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return original(bases["sd1"], tmp_path_factory.mktemp("sd1"))


@pytest.mark.parametrize("case", slow_but(REFUSED, *list(REFUSED)[::3]))
def test_what_cannot_be_taken_gets_its_sentence(
    case: str, bases: dict[str, BaseModel], sd1: dict[str, Tensor], tmp_path: Path
) -> None:
    make, sentence = REFUSED[case]
    save_file(make(sd1), tmp_path / "file.safetensors")
    with pytest.raises(UserError) as refused:
        bring(bases["sd1"], tmp_path / "file.safetensors", tmp_path / "out")
    assert sentence in str(refused.value) and str(refused.value).endswith(".")
    assert not (tmp_path / "out").exists()


def test_the_base_model_itself_is_no_subject(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    save_file(original(bases["sd1"], tmp_path, by=0.0), tmp_path / "file.safetensors")
    with pytest.raises(UserError, match="it is the base model itself, and nothing in it was learned"):
        bring(bases["sd1"], tmp_path / "file.safetensors", tmp_path / "out")


def test_files_that_are_not_safetensors(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    torch.save(ONE, tmp_path / "old.ckpt")
    (tmp_path / "text.safetensors").write_text("a text, longer than eight bytes")
    save_file(ONE, tmp_path / "whole.safetensors")
    (tmp_path / "part.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-100])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, sentence in {
        "old.ckpt": "old.ckpt is a pickle: to read it is to run whatever program is in it",
        "text.safetensors": "text.safetensors is no safetensors file, or only a part of one",
        "part.safetensors": "or only a part of one",
        "empty.safetensors": "or only a part of one",
        "folder": "folder is no folder in diffusers' layout: it has no unet",
    }.items():
        with pytest.raises(UserError, match=sentence):
            bring(bases["sd1"], tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()
