"""LoRA with settings beside it, in folders, with embeddings: what is told is heeded, and what is left out is named."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import UserError
from tests.support.converted_subjects import bring
from trainer.dreambooth import lora
from trainer.models.base import BaseModel, load_base

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
KOHYA = f"lora_unet_{LAYER.replace('.', '_')}"
CASES = Path(__file__).parents[4] / "shared" / "cases" / "lora"
RANK = 4


@pytest.fixture(scope="module")
def base(micro_sd1: Path) -> BaseModel:
    torch.set_num_threads(1)
    return load_base(str(micro_sd1))


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(1)
    return torch.randn((RANK, 16), generator=chance), torch.randn((16, RANK), generator=chance)


def peft(pair: tuple[Tensor, Tensor], prefix: str = "base_model.model.") -> dict[str, Tensor]:
    return {f"{prefix}{LAYER}.lora_A.weight": pair[0], f"{prefix}{LAYER}.lora_B.weight": pair[1]}


def added(base: BaseModel, file: Path, out: Path) -> Tensor:
    """What an import adds to the one layer."""
    bring(base, file, out)
    (delta,) = lora.deltas(load_file(out), base.denoiser).values()
    return delta


def is_scaled(delta: Tensor, pair: tuple[Tensor, Tensor], scale: float) -> bool:
    wanted = pair[1] @ pair[0] * scale
    return bool((delta - wanted).norm() < 0.01 * wanted.norm())


SETTINGS: list[tuple[dict[str, Any], float]] = [
    ({"r": RANK, "lora_alpha": 16}, 4),
    ({"r": RANK, "lora_alpha": 16, "use_rslora": True}, 8),
    ({"r": 8, "lora_alpha": 16, "rank_pattern": {"to_q": RANK}, "alpha_pattern": {"attn1.to_q": 2}}, 0.5),
    ({"peft_type": "LORA", "target_modules": ["to_q"], "lora_dropout": 0.1}, 1),
]


@pytest.mark.parametrize(
    ("where", "settings", "scale"),
    [
        pytest.param(where, *how, marks=() if where == "unet" or how == SETTINGS[0] else pytest.mark.slow)
        for where in ("beside", "folder", "unet", "default")
        for how in SETTINGS
    ],
)
def test_settings_count_wherever_they_lie(
    where: str, settings: dict[str, Any], scale: float, base: BaseModel, pair: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    folder = {"unet": tmp_path / "it" / "unet", "default": tmp_path / "it" / "unet" / "default"}.get(
        where, tmp_path / "it"
    )
    folder.mkdir(parents=True)
    save_file(peft(pair), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    file = folder / "adapter_model.safetensors" if where == "beside" else tmp_path / "it"
    assert is_scaled(added(base, file, tmp_path / "out"), pair, scale)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # by peft, of transformers
def test_what_peft_itself_has_saved_is_right(base: BaseModel, tmp_path: Path) -> None:
    pairs = {"unet": "to_q", "text_encoder": "q_proj"}
    for network, layer in pairs.items():
        part = getattr(base.denoiser.copy(), network)
        config = LoraConfig(r=RANK, lora_alpha=8, target_modules=[layer], init_lora_weights=False, use_rslora=True)
        get_peft_model(part, config).save_pretrained(tmp_path / "it" / network)
    bring(base, tmp_path / "it", tmp_path / "out")
    deltas = lora.deltas(load_file(tmp_path / "out"), base.denoiser)
    assert {name.partition(".")[0] for name in deltas} == set(pairs)
    for network in pairs:
        kept = load_file(tmp_path / "it" / network / "adapter_model.safetensors")
        name = next(name for name in deltas if name.startswith(network)).removesuffix(".weight")
        layer = next(n for n in kept if n.endswith(f"{name.partition('.')[2]}.lora_A.weight"))
        wanted = kept[layer.replace("lora_A", "lora_B")] @ kept[layer] * 8 / RANK**0.5
        assert (deltas[f"{name}.weight"] - wanted).norm() < 0.01 * wanted.norm()


def test_settings_of_others_are_not_for_files_with_alphas(
    base: BaseModel, pair: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 400}))
    kohya = {f"{KOHYA}.lora_down.weight": pair[0], f"{KOHYA}.lora_up.weight": pair[1]}
    save_file(kohya, tmp_path / "it.safetensors")
    assert is_scaled(added(base, tmp_path / "it.safetensors", tmp_path / "out"), pair, 1)
    save_file(peft(pair) | {f"base_model.model.{LAYER}.alpha": torch.tensor(8.0)}, tmp_path / "it.safetensors")
    assert is_scaled(added(base, tmp_path / "it.safetensors", tmp_path / "out"), pair, 2)


@pytest.mark.parametrize("name", ["pytorch_lora_weights.safetensors", "rex.safetensors"])
def test_a_folder_of_one_file_is_taken(name: str, base: BaseModel, pair: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "README.md").write_text("hello")
    save_file(peft(pair, "unet."), tmp_path / "it" / name)
    assert is_scaled(added(base, tmp_path / "it", tmp_path / "out"), pair, 1)


def test_embeddings_are_named(base: BaseModel, pair: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    words = {"bundle_emb.mydog.string_to_param.*": torch.ones(2, 32), "bundle_emb.mycat.clip_l": torch.ones(1, 32)}
    kohya = {f"{KOHYA}.lora_down.weight": pair[0], f"{KOHYA}.lora_up.weight": pair[1]}
    save_file(kohya | words, tmp_path / "it.safetensors")
    says = bring(base, tmp_path / "it.safetensors", tmp_path / "out").says
    assert says == "Its embeddings “mycat”, “mydog” cannot be taken, so the words will mean nothing."
    assert is_scaled(added(base, tmp_path / "it.safetensors", tmp_path / "out"), pair, 1)


def broken(pair: tuple[Tensor, Tensor]) -> dict[str, tuple[dict[str, Tensor], str]]:
    down, up = f"{KOHYA}.lora_down.weight", f"{KOHYA}.lora_up.weight"
    return {
        "a rank of 0": ({down: torch.ones(0, 16), up: torch.ones(16, 0)}, "has the rank 0"),
        "two ranks": ({down: pair[0], up: torch.ones(16, 2)}, "the ranks 4 and 2"),
        "an alpha of many": ({down: pair[0], up: pair[1], f"{KOHYA}.alpha": torch.ones(3)}, "is no number"),
        "vectors": ({down: torch.ones(4), up: torch.ones(4)}, "is not made of matrices"),
        "biases": ({down: pair[0], up: pair[1], f"{KOHYA}.bias_values": torch.ones(3)}, "is no part of a LoRA"),
        "cloneofsimo's": (
            {"unet:0:down": pair[0], "unet:0:up": pair[1]},
            "which numbers layers and does not name them",
        ),
        "norms": ({down: pair[0], up: pair[1], f"{KOHYA}.w_norm": torch.ones(3)}, "is no part of a LoRA"),
    }


@pytest.mark.parametrize("what", list(broken((torch.ones(1), torch.ones(1)))))
def test_what_no_base_model_could_take_does_not_speak_of_fitting(
    what: str, base: BaseModel, pair: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    weights, sentence = broken(pair)[what]
    save_file(weights, tmp_path / "it.safetensors")
    with pytest.raises(UserError) as refused:
        bring(base, tmp_path / "it.safetensors", tmp_path / "out")
    assert sentence in str(refused.value) and "does not fit" not in str(refused.value)


@pytest.mark.parametrize(
    "settings", [{"use_dora": True}, {"lora_bias": True}, {"r": 0}, {"rank_pattern": {"to_q": -1}}]
)
def test_settings_that_cannot_be_heeded_are_told(
    settings: dict[str, Any], base: BaseModel, pair: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    save_file(peft(pair), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"adapter_model\.safetensors cannot be used: "):
        bring(base, tmp_path / "adapter_model.safetensors", tmp_path / "out")


READ = ["bundle", "comfy", "diffmeta", "diffpat", "fp8lora", "noalpha", "oldproc", "ranks", "teonly"]


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here: ../shared/cases/lora")
@pytest.mark.parametrize("name", READ)
def test_the_cases_are_read(name: str, base: BaseModel, tmp_path: Path) -> None:
    file = CASES / f"lora-{name}.safetensors"
    assert bring(base, file, tmp_path / "out").method == "lora"
    given, deltas = load_file(file), lora.deltas(load_file(tmp_path / "out"), base.denoiser)
    downs = [key for key in given if re.search(r"lora(_down|_A|\.down)\.weight$", key)]
    assert len(deltas) == len(downs)
    for down in downs:
        up = re.sub(r"down(?=\.weight$)", "up", down).replace("lora_A", "lora_B")
        product = given[up].float() @ given[down].float()
        alpha = given.get(f"{down.removesuffix('.lora_down.weight')}.alpha", torch.tensor(len(given[down])))
        product *= scale_of(name, down) * float(alpha) / len(given[down])
        assert any(
            product.shape == d.shape and (d - product).norm() < 0.01 * product.norm() for d in deltas.values()
        ), down


def scale_of(name: str, layer: str) -> float:
    """What the metadata of two of the files say."""
    if not name.startswith("diff"):
        return 1
    exceptions = {"attn1.to_q": 1, "attn2.to_k": 0.5} if name == "diffpat" else {}
    return next(
        (value for end, value in exceptions.items() if f".{end}." in layer), 2 if layer.startswith("unet") else 0.25
    )
