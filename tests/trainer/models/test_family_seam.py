"""Which family a base model is of is asked by nobody but the folders of the families and their registry."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.models.families import FAMILIES

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "trainer" / "models"
REGISTRY = MODELS / "families.py"
FAMILY_FOLDERS = {path.parent for path in MODELS.glob("*/family.py")}
PARTS = {"unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"}
BETRAYING = PARTS | {  # attributes that only some networks, or their settings, have
    *("conv_in", "tokenizers", "addition_embed_type", "block_out_channels", "cross_attention_dim", "in_channels"),
    *("max_position_embeddings", "prediction_type", "num_train_timesteps", "sample_size", "scaling_factor"),
    *("latent_dist", "last_hidden_state", "hidden_states", "patch_size", "rescale_betas_zero_snr"),
}
LIBRARIES = ("diffusers", "transformers")
CLASSES = re.compile(r"Autoencoder|CLIPText|CLIPToken|Pipeline|Qwen|Transformer2D|UNet")
ALLOWED = {
    # A noise process is no family: several may share one, and a base model brings its own.
    "trainer/noise/ddpm.py": {"num_train_timesteps", "rescale_betas_zero_snr", "prediction_type"},
    "trainer/noise/flow.py": {"num_train_timesteps"},
    "trainer/metrics/eval_embedders.py": {"last_hidden_state"},  # of DINO, which is no base model
    "trainer/models/diffusers_layout.py": {"tokenizer", "text_encoder"},  # beginnings of names in any family's layout
}


def modules() -> Iterator[tuple[str, ast.AST]]:
    """All modules of the product but those of families, by their paths."""
    for package in ("bot", "storage", "trainer"):
        for path in (ROOT / package).rglob("*.py"):
            if not FAMILY_FOLDERS & {*path.parents} and path != REGISTRY:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def betrayals(tree: ast.AST) -> Iterator[str]:
    """What in a module depends on a family."""
    names = {family.name for family in FAMILIES}
    packages = tuple(f"trainer.models.{folder.name}" for folder in FAMILY_FOLDERS)
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module) if module and module.startswith(packages):
                yield module
            case ast.ImportFrom(module=module, names=aliases) if module and module.startswith(LIBRARIES):
                yield from (alias.name for alias in aliases if CLASSES.search(alias.name))
            case ast.Attribute(attr=attr) if attr in BETRAYING:
                yield attr
            case ast.Constant(value=str(text)) if text in PARTS | names or text.partition("/")[0] in PARTS:
                yield text


def test_there_are_families_to_look_for() -> None:
    assert "stable_diffusion" in {folder.name for folder in FAMILY_FOLDERS}
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_nothing_outside_asks_which_family_it_is() -> None:
    found = {path: {*betrayals(tree)} - ALLOWED.get(path, set()) for path, tree in modules()}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line",
    [
        "base.denoiser.unet.dtype",
        "from trainer.models.stable_diffusion.family import SDXL",
        "from diffusers import AutoencoderKL",
        "if family.name == 'Stable Diffusion XL': pass",
        "folder / 'unet/config.json'",
    ],
)
def test_what_would_ask_is_seen(line: str) -> None:
    assert [*betrayals(ast.parse(line))]
