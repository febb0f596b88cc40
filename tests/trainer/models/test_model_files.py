"""Base models as folders and as single files: what is read, converted, found missing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from storage.errors import SetupError
from tests.support.quick import slow_but
from tests.support.single_file_models import loaded, write_single
from trainer.diffusion import sampling
from trainer.models.base import BaseModel, load_base
from trainer.models.sources import find

KINDS = ("sd1", "sd2", "sdxl")
SCHEDULE = "scheduler/scheduler_config.json"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folders(micro_sd1: Path, micro_sd2: Path, micro_sdxl: Path) -> dict[str, Path]:
    torch.set_num_threads(1)
    return dict(zip(KINDS, (micro_sd1, micro_sd2, micro_sdxl), strict=True))


@pytest.fixture
def model(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A whole model that a test may spoil."""
    return Path(shutil.copytree(folders["sdxl"], tmp_path / "model"))


def drawn(base: BaseModel) -> torch.Tensor:
    how: dict[str, Any] = {"steps": 3, "guidance": 5.0, "scheduler": "ddim"}
    return sampling.sample_latents(base, base.denoiser, "a dog", [3], **how)


def pixels(base: BaseModel) -> bytes:
    return sampling.decode(base, drawn(base))[0].tobytes()


# ── folders ───────────────────────────────────────────────────────────────────────────────────────────────────────


def remove(name: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (folder / name).unlink() if (folder / name).is_file() else shutil.rmtree(folder / name)

    return do


def tell(name: str, **settings: Any) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | settings))

    return do


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def garble(name: str) -> Callable[[Path], int]:
    return lambda folder: (folder / name).write_text("{")


def forget_weight(name: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        weights = load_file(folder / UNET)
        del weights[name]
        save_file(weights, folder / UNET, {"format": "pt"})

    return do


def pickle(folder: Path) -> None:
    (folder / UNET).rename((folder / UNET).with_suffix(".bin"))


def split(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model-00001-of-00003.safetensors")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (remove("unet"), "has no unet. Darkroom needs"),
        (remove("tokenizer_2"), "has no tokenizer_2."),
        (remove("tokenizer/vocab.json"), None),  # tokenizer.json is as good
        (remove("text_encoder/config.json"), "lacks text_encoder/config.json."),
        (remove("scheduler/scheduler_config.json"), "has no scheduler."),
        (remove(UNET), f"lacks the weights of its unet: {UNET}."),
        (pickle, "has its unet only as pickles (unet/diffusion_pytorch_model.bin), which may run code"),
        (split, "lacks 2 of the 3 pieces of its unet."),
        (garble("unet/config.json"), "has a damaged unet/config.json"),
        (cut(UNET), "cannot be read"),
        (forget_weight("conv_in.weight"), "lacks weights of its unet: conv_in.weight."),
        (tell("unet/config.json", in_channels=9), "its UNet takes 9 channels and not 4"),
        (
            tell("unet/config.json", class_embed_type="projection"),
            "takes more than a prompt (class_embed_type), as unCLIP",
        ),
        (tell("scheduler/scheduler_config.json", prediction_type="sample"), "it predicts sample"),
        (tell("unet/config.json", cross_attention_dim=40), "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(
    model: Path, spoil: Callable[[Path], object], sentence: str | None
) -> None:
    spoil(model)
    if sentence is None:
        assert load_base(str(model))
        return
    with pytest.raises(SetupError) as error:
        load_base(str(model))
    assert sentence in str(error.value) and str(model) in str(error.value)


def test_what_is_no_model_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "old.ckpt").write_bytes(b"PK")
    for name, sentence in {
        "nowhere": "There is no folder or file",
        "notes.txt": "is a file, but no .safetensors",
        "old.ckpt": "is a pickle, which may run code when it is loaded. docs/models.md says how to convert it",
        "gone.ckpt": "is a pickle",
    }.items():
        with pytest.raises(SetupError, match=sentence):
            find(str(tmp_path / name), tmp_path, half=False)


def test_half_precision_is_taken_where_it_is_wanted_and_there(model: Path) -> None:
    for path in model.glob("*/*.safetensors"):
        halves = {name: weight.half() for name, weight in load_file(path).items()}
        save_file(halves, path.with_name(f"{path.stem}.fp16.safetensors"), {"format": "pt"})
    whole, half = load_base(str(model)), load_base(str(model), precision="bfloat16")
    assert all(".fp16" in name for name in half.source.files if name.endswith(".safetensors"))
    assert not [name for name in whole.source.files if ".fp16" in name]
    assert whole.sha256 != half.sha256
    assert (drawn(half) - drawn(whole)).norm() < 0.05 * drawn(whole).norm()
    for path in model.glob("*/*.fp16.safetensors"):
        path.with_name(path.name.replace(".fp16", "")).unlink()
    assert torch.allclose(drawn(load_base(str(model))), drawn(whole), atol=0.05)


def test_the_hash_is_of_what_decides_a_picture(folders: dict[str, Path], model: Path) -> None:
    before = loaded(folders["sdxl"]).sha256
    (model / "README.md").write_text("hello")
    tell("darkroom.json", recipe={"steps": 9})(model)
    assert load_base(str(model)).sha256 == before
    tell("scheduler/scheduler_config.json", timestep_spacing="trailing")(model)
    assert load_base(str(model)).sha256 != before


# ── single files ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", slow_but(KINDS, "sd1"))
def test_a_single_file_draws_what_its_folder_draws(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    path = write_single(folders[kind], tmp_path / "it.safetensors")
    base = load_base(str(path), home=tmp_path)
    assert base.folder == tmp_path / "models" / base.source.revision
    assert torch.allclose(drawn(base), drawn(loaded(folders[kind])), atol=1e-5)
    assert pixels(base) == pixels(loaded(folders[kind]))
    shutil.rmtree(path.with_suffix(""))  # it is converted, once
    assert torch.equal(drawn(load_base(str(path), home=tmp_path)), drawn(base))


def test_a_single_file_in_half_precision_stays_so(folders: dict[str, Path], tmp_path: Path) -> None:
    path = write_single(folders["sdxl"], tmp_path / "it.safetensors", torch.float16)
    base = load_base(str(path), home=tmp_path)
    assert {w.dtype for w in load_file(base.folder / UNET).values()} == {torch.float16}
    assert (drawn(base) - drawn(loaded(folders["sdxl"]))).norm() < 0.01 * drawn(base).norm()


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("first_stage_model.", "has no VAE in it."),
        ("conditioner.embedders.0.", "has no text encoder in it."),
        ("conditioner.", "has no text encoder in it."),
        ("model.diffusion_model.input_blocks.0.0.weight", "lacks weights: unet.conv_in.weight."),
        ("conditioner.embedders.1.model.text_projection", "lacks weights: text_encoder_2.text_projection.weight."),
    ],
)
def test_what_a_single_file_lacks_is_named(
    folders: dict[str, Path], tmp_path: Path, without: str, sentence: str
) -> None:
    path = write_single(folders["sdxl"], tmp_path / "it.safetensors", without=without)
    with pytest.raises(SetupError) as error:
        load_base(str(path), home=tmp_path)
    assert sentence in str(error.value)
    assert not [p for p in (tmp_path / "models").glob("*") if p.is_dir()]


def test_a_single_file_without_settings_says_where_they_belong(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    path = write_single(folders["sd2"], tmp_path / "it.safetensors")
    shutil.rmtree(path.with_suffix(""))
    with pytest.raises(SetupError, match=f"into the folder {path.with_suffix('')}; the hub does not give them"):
        load_base(str(path), home=tmp_path)


def marked(folder: Path, path: Path, *marks: str, **metadata: str) -> Path:
    """A single file that says how it was trained, in both ways."""
    write_single(folder, path)
    save_file(load_file(path) | {mark: torch.empty(0) for mark in marks}, path, metadata)
    return path


def without_word(settings: Path) -> None:
    """Leave open in settings what is predicted."""
    told = json.loads((settings / SCHEDULE).read_text())
    del told["prediction_type"], told["rescale_betas_zero_snr"]
    (settings / SCHEDULE).write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("kind", "marks", "metadata", "expected"),
    [
        ("sdxl", ("v_pred", "ztsnr"), "epsilon", ("v_prediction", True, "trailing")),  # what is merged keeps old words
        pytest.param("sdxl", ("v_pred",), "", ("v_prediction", False, "leading"), marks=pytest.mark.slow),
        pytest.param("sdxl", (), "v", ("v_prediction", False, "leading"), marks=pytest.mark.slow),
        ("sd2", (), "epsilon", ("epsilon", False, "leading")),
    ],
)
def test_a_single_file_may_say_what_it_predicts(
    folders: dict[str, Path], tmp_path: Path, kind: str, marks: tuple[str, ...], metadata: str, expected: Any
) -> None:
    path = marked(folders[kind], tmp_path / "it.safetensors", *marks, **{"modelspec.prediction_type": metadata})
    without_word(path.with_suffix(""))
    config = load_base(str(path), home=tmp_path).scheduler.config
    assert (config.prediction_type, config.rescale_betas_zero_snr, config.timestep_spacing) == expected


@pytest.mark.slow
def test_a_file_that_was_converted_without_heeding_its_word_is_mended(folders: dict[str, Path], tmp_path: Path) -> None:
    path = marked(folders["sdxl"], tmp_path / "it.safetensors", "v_pred")
    without_word(path.with_suffix(""))
    before = load_base(str(path), home=tmp_path)
    tell(SCHEDULE, prediction_type="epsilon")(before.folder)
    assert load_base(str(path), home=tmp_path).sha256 == before.sha256


@pytest.mark.parametrize("weights", [True, False])
def test_settings_that_contradict_their_file_are_refused(
    folders: dict[str, Path], tmp_path: Path, weights: bool
) -> None:
    path = marked(folders["sdxl"], tmp_path / "it.safetensors", "v_pred")
    with pytest.raises(SetupError, match=r'is marked as one of prediction_type "v_prediction", and .* says "epsilon"'):
        find(str(path), tmp_path, half=False, weights=weights)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("model.diffusion_model.label_emb.0.0.weight", "takes an embedding besides the prompt, as unCLIP's does"),
        ("edm_mean", "its noise schedule is EDM's"),
    ],
)
def test_single_files_of_other_kinds_are_refused(
    folders: dict[str, Path], tmp_path: Path, name: str, sentence: str
) -> None:
    path = marked(folders["sd2"], tmp_path / "it.safetensors", name)
    with pytest.raises(SetupError, match=sentence):
        find(str(path), tmp_path, half=False)


def test_settings_of_another_kind_do_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    path = write_single(folders["sd2"], tmp_path / "it.safetensors")
    shutil.rmtree(path.with_suffix(""))
    shutil.copytree(folders["sdxl"], path.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(SetupError, match=r"lacks weights: unet\.add_embedding\.linear_1\.weight, .* and \d+ more"):
        load_base(str(path), home=tmp_path)


def test_other_files_are_no_base_models(folders: dict[str, Path], tmp_path: Path) -> None:
    save_file({"double_blocks.0.img_attn.qkv.weight": torch.zeros(3)}, tmp_path / "flux.safetensors")
    (tmp_path / "torn.safetensors").write_bytes((folders["sd1"] / UNET).read_bytes()[:-9])
    for name, sentence in {
        "flux": "is no Stable Diffusion 1.x, 2.x or XL in the original layout; it seems to be of Flux.",
        "torn": "is damaged or incomplete",
    }.items():
        with pytest.raises(SetupError, match=sentence):
            load_base(str(tmp_path / f"{name}.safetensors"), home=tmp_path)
