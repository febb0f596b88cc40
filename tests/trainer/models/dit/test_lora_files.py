"""LoRA files of other programs for diffusion transformers: the same matrices under all their names."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from storage.errors import UserError
from tests.support.converted_subjects import adapt, bring, export_of
from tests.support.dit_peers import PEERS, PROMPTS, SIZE, noise_of
from trainer.conversion.exporter import export
from trainer.conversion.lora_formats import read_lora
from trainer.conversion.peft_config import PeftSettings
from trainer.diffusion import sampling
from trainer.diffusion.sampling import Denoising, sample_latents, step_together
from trainer.dreambooth import lora
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.engine.subject_cache import SubjectCache
from trainer.models.base import BaseModel, load_base
from trainer.models.safetensors_files import SafetensorsFiles

MODELS = ["klein-base", "z-image", "krea2-raw"]
ALPHA = 2.0
FUSED = ("to_q", "to_k", "to_v")


@pytest.fixture(scope="module", autouse=True)
def accepted() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_ACCEPTED_LICENCES", "krea-2-community")
        yield


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, accepted: None) -> dict[str, BaseModel]:
    return {name: load_base(str(PEERS[name].write(tmp_path_factory.mktemp(name)))) for name in MODELS}


Matrices = dict[str, tuple[Tensor, Tensor]]  # down and up, by the layer's path in diffusers' transformer


def matrices_of(base: BaseModel) -> Matrices:
    """Adapters of rank 4 whose layers that others have in one share their first matrix, as those would."""
    found: Matrices = {}
    for path, layer in adapt(base.denoiser).named_modules():
        if hasattr(layer, "lora_A") and path.startswith("transformer."):
            down, up = (part["default"].weight.detach().half() for part in (layer.lora_A, layer.lora_B))
            own = path.removeprefix("transformer.")
            stem, _, last = own.rpartition(".")
            if last in FUSED:
                down = found.get(f"{stem}.to_q", (down, up))[0]
            found[own] = (down, up)
    return found


def makers(matrices: Matrices, base: BaseModel) -> Matrices:
    """The same by the names of the model's makers, with layers put together that they have in one."""
    by_name: dict[str, list[tuple[Tensor, Tensor]]] = {}
    names = base.files().makers_names()
    for own, both in matrices.items():
        by_name.setdefault(names[own], []).append(both)
    return {name: (some[0][0], torch.cat([up for _, up in some])) for name, some in by_name.items()}


def peft(matrices: Matrices, prefix: str) -> dict[str, Tensor]:
    """As peft, diffusers and ComfyUI name matrices, whose alpha is the rank: the second is multiplied."""
    both = {f"{prefix}{name}.lora_A.weight": down for name, (down, _) in matrices.items()}
    return both | {f"{prefix}{n}.lora_B.weight": up * (ALPHA / len(down)) for n, (down, up) in matrices.items()}


def kohya(matrices: Matrices, prefix: str, flat: bool = True) -> dict[str, Tensor]:
    """As kohya's scripts and those after them name matrices, with an alpha each."""
    named = {
        (f"{prefix}{name.replace('.', '_')}" if flat else f"{prefix}{name}"): both for name, both in matrices.items()
    }
    tensors = {f"{name}.lora_down.weight": down for name, (down, _) in named.items()}
    tensors |= {f"{name}.lora_up.weight": up for name, (_, up) in named.items()}
    return tensors | {f"{name}.alpha": torch.tensor(ALPHA) for name in named}


def read(file: Path, base: BaseModel) -> dict[str, Tensor]:
    """What a file adds to the base model's weights."""
    parsed, _ = read_lora(SafetensorsFiles([("", file)]), base.denoiser, base.files(), PeftSettings({}))
    return lora.deltas(parsed, base.denoiser)


@pytest.mark.parametrize("model", MODELS)
def test_all_styles_are_the_same_lora(bases: dict[str, BaseModel], model: str, tmp_path: Path) -> None:
    base = bases[model]
    matrices = matrices_of(base)
    own = makers(matrices, base)
    styles = {
        "diffusers": peft(matrices, "transformer."),
        "comfyui": peft(matrices, "diffusion_model."),
        "ai-toolkit": peft(own, "diffusion_model."),
        "peft": peft(matrices, "base_model.model."),
        "musubi": kohya(own, "lora_unet_"),
        "onetrainer": kohya(matrices, "transformer.", flat=False),
        "onetrainer-flat": kohya(matrices, "lora_transformer_"),
    }
    added = {}
    for style, tensors in styles.items():
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / style)
        added[style] = read(tmp_path / style, base)
    first = added["diffusers"]
    assert len(first) == len(matrices) and all(weight.any() for weight in first.values())
    for style, deltas in added.items():
        assert deltas.keys() == first.keys(), style
        assert all(torch.allclose(deltas[name], first[name], atol=2e-3) for name in first), style


@pytest.mark.parametrize("model", MODELS)
def test_makers_names_are_read_as_diffusers_reads_them(bases: dict[str, BaseModel], model: str, tmp_path: Path) -> None:
    base = bases[model]
    file = tmp_path / "lora.safetensors"
    tensors = peft(makers(matrices_of(base), base), "diffusion_model.")
    if model == "z-image":  # of it diffusers reads fused layers in kohya's form alone
        tensors = kohya(makers(matrices_of(base), base), "lora_unet_")
        tensors = {
            name.replace("lora_down", "lora.down").replace("lora_up", "lora.up"): t for name, t in tensors.items()
        }
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, file)
    theirs = type(DiffusionPipeline.from_pretrained(base.folder)).lora_state_dict(dict(tensors))
    downs = {name.removesuffix(".lora_A.weight"): t.float() for name, t in theirs.items() if ".lora_A" in name}
    products = {name: theirs[f"{name}.lora_B.weight"].float() @ down for name, down in downs.items()}
    ours = read(file, base)
    assert {f"{name}.weight" for name in products} == ours.keys()
    assert all(torch.allclose(ours[f"{name}.weight"], product, atol=2e-3) for name, product in products.items())


def test_a_file_for_another_family_or_of_another_shape_is_refused(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    file, out = tmp_path / "rex.safetensors", tmp_path / "out"
    klein, z_image = bases["klein-base"], bases["z-image"]
    save_file({name: tensor.clone() for name, tensor in peft(matrices_of(klein), "transformer.").items()}, file)
    with pytest.raises(UserError, match=r"seems to be for FLUX.2 \[klein\], and the one here is a Z-Image"):
        bring(z_image, file, out)
    save_file({"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": torch.ones(4, 32)}, file)
    with pytest.raises(UserError, match="seems to be for Stable Diffusion, and the one here is a Z-Image"):
        bring(z_image, file, out)
    wide = {name: torch.cat([tensor, tensor], dim=-1) for name, tensor in peft(matrices_of(z_image), "").items()}
    save_file(wide, file)
    with pytest.raises(UserError, match=r"does not fit|ranks"):
        bring(z_image, file, out)
    fused = {
        "diffusion_model.layers.0.attention.qkv.lora_A.weight": torch.ones(4, 32),
        "diffusion_model.layers.0.attention.qkv.lora_B.weight": torch.ones(95, 4),
    }
    save_file(fused, file)
    with pytest.raises(UserError, match="95 rows, and is 3 layers in one"):
        bring(z_image, file, out)


@pytest.mark.parametrize("model", MODELS)
def test_adapters_by_row_draw_what_merged_weights_draw(bases: dict[str, BaseModel], model: str, tmp_path: Path) -> None:
    base, file = bases[model], tmp_path / "rex.safetensors"
    save_learned(file, adapt(base.denoiser), base.denoiser)
    merged = base.denoiser.copy()
    load_learned(file, merged, base.denoiser)
    how: dict[str, Any] = {"steps": 2, "guidance": 3.0, "scheduler": "euler"}
    cache = SubjectCache(base)
    with cache.loaded(str(file)) as rex, cache.loaded() as nobody:
        together = [Denoising(base, drawer, "a dog", [1], **how) for drawer in (rex, nobody)]
        while not together[0].done:
            step_together(together)
            for each in together:
                each.step()
    for each, denoiser in zip(together, (merged, base.denoiser), strict=True):
        alone = sample_latents(base, denoiser, "a dog", [1], **how)
        assert torch.allclose(each.latents, alone, atol=1e-4)


def test_what_is_written_comes_back(bases: dict[str, BaseModel], tmp_path: Path) -> None:
    for base in bases.values():
        state = {name: weight.detach().half() for name, weight in lora.state(adapt(base.denoiser)).items()}
        save_file(base.files().lora_file(state), tmp_path / "file")
        before, after = lora.deltas(state, base.denoiser), read(tmp_path / "file", base)
        assert before.keys() == after.keys()
        assert all(torch.allclose(before[name], after[name], atol=2e-3) for name in before)
        assert base.files().metadata()["modelspec.architecture"]


@pytest.mark.slow
def test_an_exported_lora_draws_the_same_in_a_fresh_process_of_plain_diffusers(
    bases: dict[str, BaseModel], tmp_path: Path
) -> None:
    orders, ours = [], {}
    for name, base in bases.items():
        peer, learned, folder = PEERS[name], adapt(base.denoiser), tmp_path / name
        weights = tmp_path / f"{name}.weights"
        save_learned(weights, learned, base.denoiser)
        export(export_of(base, weights, folder, "lora"), lambda what: None)
        torch.save(peer.noise(noise_of(base, 1, 2)), folder / "noise")
        width, height = SIZE
        how = {"prompt": PROMPTS, "width": width, "height": height, "num_inference_steps": 3}
        how["guidance_scale"] = 4.0 + peer.scale_offset
        files = {"lora": folder / "rex.safetensors", "noise": folder / "noise", "out": folder / "out"}
        orders.append({"folder": str(base.folder), "how": how, **{what: str(path) for what, path in files.items()}})
        drawn = {"steps": 3, "guidance": 4.0, "scheduler": "euler", "size": SIZE}
        ours[name] = sampling.sample_latents(base, learned, PROMPTS, [1, 2], **drawn)
    (tmp_path / "orders").write_text(json.dumps(orders))
    script = Path(__file__).parents[3] / "support" / "plain_dit.py"
    done = subprocess.run([sys.executable, script, tmp_path / "orders"], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    for name, base in bases.items():
        theirs = torch.load(tmp_path / name / "out", weights_only=True)
        latents = PEERS[name].latents(base, theirs, base.latent_shape(SIZE))
        assert torch.allclose(latents, ours[name], atol=0.03), name  # the file is in half precision
