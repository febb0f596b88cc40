"""A transformer in a single file, with a folder for the rest, as ComfyUI's users have it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import SetupError
from tests.support.dit_peers import PEERS, PROMPTS, SIZE
from trainer.diffusion import sampling
from trainer.models.base import BaseModel, load_base
from trainer.models.darkroom_json import drawing_of
from trainer.models.sources import find

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def z_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PEERS["z-image"].write(tmp_path_factory.mktemp("model"))


@pytest.fixture
def beside(z_image: Path, tmp_path: Path) -> Path:
    """The folder beside the file: all of a Z-Image but the transformer's weights."""
    folder = Path(shutil.copytree(z_image, tmp_path / "mine_turbo"))
    (folder / "transformer" / WEIGHTS).unlink()
    return folder


def comfy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Z-Image's transformer as its makers and ComfyUI name it."""
    named: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name.endswith("attention.to_q.weight"):
            parts = [weights[name.replace("to_q", part)] for part in ("to_q", "to_k", "to_v")]
            named[name.replace("to_q", "qkv")] = torch.cat(parts)
        elif not name.endswith(("attention.to_k.weight", "attention.to_v.weight")):
            for theirs, own in (
                ("all_final_layer.2-1.", "final_layer."),
                ("all_x_embedder.2-1.", "x_embedder."),
                ("attention.to_out.0.", "attention.out."),
                ("attention.norm_k.", "attention.k_norm."),
                ("attention.norm_q.", "attention.q_norm."),
            ):
                name = name.replace(theirs, own)
            named[name] = weight
    return {f"model.diffusion_model.{name}": weight for name, weight in named.items()}


def drawn(base: BaseModel) -> Tensor:
    how: dict[str, Any] = {"steps": 2, "guidance": 3.0, "scheduler": "euler", "size": SIZE}
    return sampling.sample_latents(base, base.denoiser, PROMPTS, [1, 2], **how)


@pytest.mark.parametrize("names", ["makers", "diffusers"])
def test_a_single_file_draws_as_the_folder_that_it_is_of(
    z_image: Path, beside: Path, tmp_path: Path, names: str
) -> None:
    file, home = beside.with_suffix(".safetensors"), tmp_path / "home"
    weights = load_file(z_image / "transformer" / WEIGHTS)
    save_file(comfy(weights) if names == "makers" else weights, file)
    base = load_base(str(file), home)
    assert torch.equal(drawn(base), drawn(load_base(str(z_image))))
    assert drawing_of(base.folder).steps == 8  # by the name of the file
    assert not (base.folder / "text_encoder").is_relative_to(beside) and (base.folder / "text_encoder").is_symlink()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("no folder", "is the transformer of a Z-Image alone. Put the rest"),
        ("no text encoder", "has no text_encoder. Darkroom needs a Z-Image"),
        ("another family", "is the transformer of a Z-Image, and .* is another model"),
        ("missing weight", "does not fit the settings in .* lacks weights, or has them in another shape: x_pad"),
        ("more weights", "does not fit the settings in .* it has more: odd.weight"),
    ],
)
def test_what_does_not_go_together_is_refused(
    z_image: Path, beside: Path, tmp_path: Path, broken: str, sentence: str
) -> None:
    file, weights = beside.with_suffix(".safetensors"), load_file(z_image / "transformer" / WEIGHTS)
    if broken == "no folder":
        shutil.rmtree(beside)
    elif broken == "no text encoder":
        shutil.rmtree(beside / "text_encoder")
    elif broken == "another family":
        index = json.loads((beside / "model_index.json").read_text())
        (beside / "model_index.json").write_text(json.dumps(index | {"_class_name": "Flux2KleinPipeline"}))
    elif broken == "missing weight":
        weights["x_pad_token"] = torch.zeros(1, 3)
    else:
        weights["odd.weight"] = torch.zeros(1, 3)
    save_file(weights, file)
    with pytest.raises(SetupError, match=sentence):
        find(str(file), tmp_path / "models", half=False)


def test_a_folder_without_its_text_encoder_is_refused(z_image: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(z_image, tmp_path / "model"))
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(SetupError, match=r"has no text_encoder. Darkroom needs a Z-Image in diffusers' layout"):
        find(str(folder), tmp_path / "models", half=False)


def test_weights_in_pieces_are_read_by_their_index(z_image: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(z_image, tmp_path / "model"))
    part = folder / "transformer"
    weights = load_file(part / WEIGHTS)
    names = sorted(weights)
    for number, some in enumerate((names[::2], names[1::2]), 1):
        save_file(
            {name: weights[name] for name in some}, part / f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        )
    where = {name: f"diffusion_pytorch_model-0000{k % 2 + 1}-of-00002.safetensors" for k, name in enumerate(names)}
    (part / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    (part / WEIGHTS).unlink()
    base = load_base(str(folder))
    assert torch.equal(drawn(base), drawn(load_base(str(z_image))))
    (part / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(SetupError, match="lacks 1 of the 2 pieces of its transformer"):
        load_base(str(folder))
