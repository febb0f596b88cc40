"""Imports of LoRA files: every spelling of them comes to the same weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.support.converted_subjects import MicroBases, adapt, bring, drawn, drawn_plainly, order
from tests.support.quick import slow_but
from trainer.dreambooth import lora
from trainer.dreambooth.weights import load_learned
from trainer.models.base import BaseModel

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
LAYERS = {  # of each kind that such files have
    "sd1": [
        f"unet.{BLOCK}.attn1.to_q",
        f"unet.{BLOCK}.attn2.to_k",
        f"unet.{BLOCK}.attn2.to_out.0",
        f"unet.{BLOCK}.ff.net.0.proj",
        f"unet.{BLOCK}.ff.net.2",
        "unet.down_blocks.0.attentions.1.proj_in",
        "unet.down_blocks.0.resnets.0.conv1",
        "unet.down_blocks.0.resnets.0.time_emb_proj",
        "unet.up_blocks.0.resnets.0.conv_shortcut",
        "unet.down_blocks.0.downsamplers.0.conv",
        "unet.conv_in",
        "text_encoder.encoder.layers.1.self_attn.v_proj",
        "text_encoder.encoder.layers.1.self_attn.out_proj",
        "text_encoder.encoder.layers.0.mlp.fc1",
    ],
    "sdxl": [
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        "unet.mid_block.attentions.0.transformer_blocks.1.ff.net.0.proj",
        "unet.up_blocks.0.attentions.1.proj_out",
        "unet.up_blocks.2.resnets.0.conv1",
        "unet.up_blocks.1.upsamplers.0.conv",
        "unet.down_blocks.0.downsamplers.0.conv",
        "unet.down_blocks.1.resnets.0.conv_shortcut",
        "unet.down_blocks.1.resnets.0.time_emb_proj",
        "text_encoder.encoder.layers.1.self_attn.q_proj",
        "text_encoder.encoder.layers.1.self_attn.out_proj",
        "text_encoder_2.text_model.encoder.layers.0.mlp.fc2",
        "text_encoder_2.text_model.encoder.layers.1.self_attn.out_proj",  # diffusers looks for one
    ],
}
ORIGINAL = dict(  # kohya's names for the first of these, as it has them in SDXL's files
    zip(
        LAYERS["sdxl"],
        [
            "input_blocks.4.1.transformer_blocks.0.attn1.to_q",
            "middle_block.1.transformer_blocks.1.ff.net.0.proj",
            "output_blocks.1.1.proj_out",
            "output_blocks.6.0.in_layers.2",
            "output_blocks.5.2.conv",
            "input_blocks.3.0.op",
            "input_blocks.4.0.skip_connection",
            "input_blocks.4.0.emb_layers.1",
        ],
        strict=False,
    )
)
RANK, ALPHA = 4, 2.0
Matrices = dict[str, tuple[Tensor, Tensor]]  # down and up of each layer, by its path


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseModel]:
    return MicroBases(tmp_path_factory)


def matrices(base: BaseModel, paths: list[str]) -> Matrices:
    """LoRA's two matrices for each of these layers."""
    chance, found = torch.Generator().manual_seed(1), {}
    for path in paths:
        weight = base.denoiser.get_submodule(path).weight
        pixel = (1,) * (weight.ndim - 2)
        down = torch.randn((RANK, *weight.shape[1:]), generator=chance)
        found[path] = down, 0.1 * torch.randn((len(weight), RANK, *pixel), generator=chance)
    return found


def text_model(path: str) -> str:
    """The path as it was before transformers dropped a level, which files still have."""
    network, _, rest = path.partition(".")
    return path if network == "unet" else f"{network}.text_model.{rest.removeprefix('text_model.')}"


def kohya(path: str, two: bool = False) -> str:
    network, _, rest = text_model(path).partition(".")
    begins = {"unet": "unet", "text_encoder": "te1" if two else "te", "text_encoder_2": "te2"}
    return f"lora_{begins[network]}_{rest.replace('.', '_')}"


def as_kohya(given: Matrices, name: Callable[[str], str] = kohya) -> dict[str, Tensor]:
    found = {}
    for path, (down, up) in given.items():
        found |= {f"{name(path)}.lora_down.weight": down, f"{name(path)}.lora_up.weight": up}
        found[f"{name(path)}.alpha"] = torch.tensor(ALPHA)
    return found


def as_original(given: Matrices) -> dict[str, Tensor]:
    def name(path: str) -> str:
        return f"lora_unet_{ORIGINAL[path].replace('.', '_')}" if path in ORIGINAL else kohya(path, two=True)

    return as_kohya(given, name)


def as_comfy(given: Matrices) -> dict[str, Tensor]:
    """As ComfyUI saves them: the original layout's names, with dots."""
    return as_kohya(given, lambda path: f"diffusion_model.{ORIGINAL[path]}" if path in ORIGINAL else of_clip(path))


def as_one_trainer(given: Matrices) -> dict[str, Tensor]:
    return as_kohya(given, lambda path: path if path.startswith("unet.") else of_clip(path).removeprefix(OF_COMFY))


def as_one_trainer_original(given: Matrices) -> dict[str, Tensor]:
    return as_kohya(
        given,
        lambda path: (
            f"unet.{ORIGINAL[path]}" if path in ORIGINAL else of_clip(path).replace("transformer.", "")[len(OF_COMFY) :]
        ),
    )


OF_COMFY = "text_encoders."


def of_clip(path: str) -> str:
    """A layer of a text encoder by the name that ComfyUI has for it."""
    network, _, rest = text_model(path).partition(".")
    clip = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}[network]
    return f"{OF_COMFY}{clip}.transformer.{rest}"


def as_lycoris(given: Matrices) -> dict[str, Tensor]:
    """LyCORIS outside of kohya's scripts: the UNet alone."""
    return as_kohya(given, lambda path: f"lycoris_{path.removeprefix('unet.').replace('.', '_')}")


def as_ai_toolkit(given: Matrices) -> dict[str, Tensor]:
    """Diffusers' names with peft's matrices, without an alpha."""
    found = {}
    for path, (down, up) in given.items():
        found |= {f"{text_model(path)}.lora_A.default.weight": down}
        found |= {f"{text_model(path)}.lora_B.default.weight": up * ALPHA / RANK}
    return found


def as_tucker(given: Matrices) -> dict[str, Tensor]:
    """LyCORIS' convolutions of three matrices. The third lets all through here, so the first two are not changed."""
    found = {}
    for path, (down, up) in given.items():
        name = kohya(path)
        wide = down.shape[1:].numel() != down.shape[1]
        if wide:  # down = mid ∘ down', with down' the identity on as many inputs as there are
            inputs = down.shape[1]
            square = torch.zeros(inputs, inputs, *down.shape[2:])
            square[:RANK] = down
            up = torch.cat([up, torch.zeros(len(up), inputs - RANK, 1, 1)], dim=1)
            found[f"{name}.lora_mid.weight"] = square
            down = torch.eye(inputs)[:, :, None, None]
        found |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        found[f"{name}.alpha"] = torch.tensor(ALPHA * len(down) / RANK)
    return found


def as_peft(given: Matrices) -> dict[str, Tensor]:
    found = {}
    for path, (down, up) in given.items():
        found |= {f"{text_model(path)}.lora_A.weight": down, f"{text_model(path)}.lora_B.weight": up}
        found[f"{text_model(path)}.alpha"] = torch.tensor(ALPHA)
    return found


def as_older_diffusers(given: Matrices) -> dict[str, Tensor]:
    found = {}
    for path, (down, up) in given.items():
        name = f"{text_model(path)}.{'lora' if path.startswith('unet') else 'lora_linear_layer'}"
        scaled = up * ALPHA / RANK  # it knew of no alpha
        found |= {f"{name}.down.weight": down, f"{name}.up.weight": scaled}
    return found


def as_oldest_diffusers(given: Matrices) -> dict[str, Tensor]:
    """The UNet's attention alone, without saying that it is the UNet's."""
    found = {}
    for path, (down, up) in given.items():
        block, _, layer = path.removeprefix("unet.").removesuffix(".0").rpartition(".")
        name = f"{block}.processor.{layer}_lora"
        found |= {f"{name}.down.weight": down, f"{name}.up.weight": up * ALPHA / RANK}
    return found


ATTENTION = [f"unet.{BLOCK}.attn1.to_q", f"unet.{BLOCK}.attn2.to_out.0"]
SPELLINGS = {
    "kohya": ("sd1", LAYERS["sd1"], as_kohya),
    "kohya, SDXL": ("sdxl", LAYERS["sdxl"], lambda given: as_kohya(given, lambda path: kohya(path, two=True))),
    "kohya, SDXL, original": ("sdxl", LAYERS["sdxl"], as_original),
    "LyCORIS": ("sd1", LAYERS["sd1"], as_tucker),
    "peft": ("sd1", LAYERS["sd1"], as_peft),
    "peft, SDXL": ("sdxl", LAYERS["sdxl"], as_peft),
    "ComfyUI": ("sdxl", LAYERS["sdxl"], as_comfy),
    "OneTrainer": ("sdxl", LAYERS["sdxl"], as_one_trainer),
    "OneTrainer, original": ("sdxl", LAYERS["sdxl"], as_one_trainer_original),
    "OneTrainer, SD 1": ("sd1", LAYERS["sd1"], as_one_trainer),
    "LyCORIS by itself": ("sd1", LAYERS["sd1"][:11], as_lycoris),
    "ai-toolkit": ("sdxl", LAYERS["sdxl"], as_ai_toolkit),
    "older diffusers": ("sd1", LAYERS["sd1"], as_older_diffusers),
    "oldest diffusers": ("sd1", ATTENTION, as_oldest_diffusers),
}


@pytest.mark.parametrize("spelling", slow_but(SPELLINGS, "kohya", "kohya, SDXL, original", "peft", "oldest diffusers"))
def test_all_spellings_come_to_the_same(spelling: str, bases: dict[str, BaseModel], tmp_path: Path) -> None:
    name, layers, spell = SPELLINGS[spelling]
    base, given = bases[name], matrices(bases[name], layers)
    save_file({k: v.contiguous() for k, v in spell(given).items()}, tmp_path / "file.safetensors")
    assert bring(base, tmp_path / "file.safetensors", tmp_path / "out").method == "lora"
    added = lora.deltas(load_file(tmp_path / "out"), base.denoiser)
    assert added.keys() == {f"{path}.weight" for path in layers}
    for path, (down, up) in given.items():
        wanted = (up.flatten(1) @ down.flatten(1)).reshape(added[f"{path}.weight"].shape) * ALPHA / RANK
        assert (added[f"{path}.weight"] - wanted).norm() < 0.01 * wanted.norm(), path


def test_diffusers_own_file_counts_by_its_alpha(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    base = bases["sd1"]
    learned = adapt(base.denoiser, alpha=8)
    parts = [learned.unet, learned.text_encoder]
    layers = [convert_state_dict_to_diffusers(get_peft_model_state_dict(part)) for part in parts]
    about = [part.peft_config["default"].to_dict() for part in parts]
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        *layers,
        weight_name="file.safetensors",
        unet_lora_adapter_metadata=about[0],
        text_encoder_lora_adapter_metadata=about[1],
    )
    assert bring(base, tmp_path / "file.safetensors", tmp_path / "out").method == "lora"
    loaded = base.denoiser.copy()
    load_learned(tmp_path / "out", loaded, base.denoiser)
    live, plain = drawn(base, learned), drawn(base, base.denoiser)
    assert (drawn(base, loaded) - live).norm() < 0.02 * (live - plain).norm()


@pytest.mark.slow
def test_diffusers_draws_the_same_from_the_file_itself(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    orders, ours = [], {}
    for name, spell in (("sd1", as_kohya), ("sdxl", as_original)):
        base, file = bases[name], tmp_path / f"{name}.safetensors"
        save_file({k: v.contiguous() for k, v in spell(matrices(base, LAYERS[name])).items()}, file)
        bring(base, file, tmp_path / "out")
        loaded = base.denoiser.copy()
        load_learned(tmp_path / "out", loaded, base.denoiser)
        ours[name] = drawn(base, loaded), drawn(base, base.denoiser)
        orders.append(order(name, "lora", file, base))
    for name, theirs in drawn_plainly(orders, tmp_path).items():
        mine, plain = ours[name]
        assert (theirs - mine).norm() < 0.03 * (mine - plain).norm(), name
