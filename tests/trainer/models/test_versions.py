"""Subjects belong to the base model that they were learned from, in whatever precision it is kept."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from storage.contract.subjects import Photo, Subject
from storage.errors import UserError
from trainer.models.diffusers_layout import names_in
from trainer.models.stable_diffusion.layout import needed_files
from trainer.models.versions import BaseModelVersion, check_base, model_hash

PHOTO = Photo(key="p", sha256="0", name="rex.jpg", side_px=64)
HERE = BaseModelVersion("c0ffee", "1234")


def rex(**about: Any) -> Subject:
    usual = {"space": "home", "owner": "ada", "name": "rex", "noun": "dog", "base_model": "org/sdxl"}
    return Subject(**{**usual, "base_revision": "older", "base_sha256": "5678", "photos": (PHOTO,), **about})


@pytest.mark.parametrize(
    "about",
    [
        {"base_sha256": "1234"},  # of another name or commit, but the same files
        {"base_revision": "c0ffee"},  # the same commit, in another precision
        {"base_revision": "", "base_sha256": ""},  # from before that was noted
    ],
)
def test_the_same_base_model_is_known_again(about: dict[str, Any], micro_sd1: Path) -> None:
    assert check_base([rex(**about)], HERE, micro_sd1) == ""


def test_a_folder_of_both_precisions_is_one_model(micro_sd1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(micro_sd1, tmp_path / "model"))
    for path in folder.glob("*/*.safetensors"):
        halves = {name: weight.half() for name, weight in load_file(path).items()}
        save_file(halves, path.with_name(f"{path.stem}.fp16.safetensors"))
    full, half = (model_hash(folder, needed_files(names_in(folder), half, "")) for half in (False, True))
    assert full != half
    for learned, here in ((full, half), (half, full)):
        assert check_base([rex(base_revision="", base_sha256=learned)], BaseModelVersion("", here), folder) == ""


@pytest.mark.parametrize(
    ("about", "called", "again"),
    [
        ({}, "org/sdxl", "retrain"),
        ({"base_model": "/models/of/ours.safetensors"}, "ours.safetensors", "retrain"),
        ({"photos": ()}, "org/sdxl", "import"),
        ({"base_revision": ""}, "org/sdxl", "retrain"),
    ],
)
def test_another_one_is_refused_and_for_lora_mentioned(
    about: dict[str, Any], called: str, again: str, micro_sd1: Path
) -> None:
    said = f"rex was learned from another base model or version of it ({called}) than the one here: {again} it, or "
    with pytest.raises(UserError) as refused:
        check_base([rex(**about)], HERE, micro_sd1)
    assert str(refused.value) == f"{said}have DARKROOM_BASE_MODEL set back."
    assert check_base([rex(**about, method="lora")], HERE, micro_sd1) == str(refused.value)
