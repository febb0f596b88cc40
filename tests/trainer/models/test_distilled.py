"""Distilled base models are recognised, and draw as such models do unless people or `darkroom.json` say otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from bot.arguments.arguments import ImagineArguments
from storage.errors import SetupError
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import read_job
from storage.settings.trainer import TrainerSettings
from tests.support.single_file_models import write_single
from trainer.doctor import report
from trainer.kinds.imagine import drawn_as
from trainer.models.base import load_base
from trainer.models.darkroom_json import DrawingDefaults, by_name, distilled, drawing_of
from trainer.models.default_recipe import recipe_for
from trainer.models.sources import find

SCHEDULE = "scheduler/scheduler_config.json"


def tell(folder: Path, name: str, **settings: Any) -> None:
    path = folder / name
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | settings))


@pytest.mark.parametrize(
    ("name", "kind", "steps"),
    [
        ("stabilityai/sdxl-turbo", "Turbo", 4),
        ("stabilityai/sd-turbo", "Turbo", 4),
        ("sdxl_lightning_4step", "Lightning", 4),
        ("DreamShaperXL_Lightning", "Lightning", 8),
        ("SimianLuo/LCM_Dreamshaper_v7", "LCM", 8),
        ("Hyper-SDXL-1step-Unet", "Hyper-SD", 1),
        ("tianweiy/DMD2", "DMD2", 4),
        ("models--stabilityai--sdxl-turbo", "Turbo", 4),
        ("realvisxlV50_v50LightningBakedvae", "Lightning", 8),
        ("dreamshaperXL_v21TurboDPMSDE", "Turbo", 4),
        ("RealitiesEdge_TURBOXL", "Turbo", 4),
        ("epicrealismXL_vxviLastfameDMD2", "DMD2", 4),
        ("juggXILightning4StepByRD", "Lightning", 4),
        ("tcd_sdxl", "TCD", 8),
    ],
)
def test_names_tell(name: str, kind: str, steps: int) -> None:
    found = by_name(name)
    assert found and (found.kind, found.drawing.steps, found.drawing.guidance) == (kind, steps, 1)


@pytest.mark.parametrize(
    "name", ["stable-diffusion-v1-5", "hyperrealism", "turbodiesel", "enlightning", "sdxl_base_1.0", "HyperRealistic"]
)
def test_other_names_do_not(name: str) -> None:
    assert by_name(name) is None


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        (SCHEDULE, {"_class_name": "LCMScheduler"}, "LCM"),
        (SCHEDULE, {"_class_name": "TCDScheduler"}, "Hyper-SD"),
        ("model_index.json", {"_name_or_path": "stabilityai/sd-turbo"}, "Turbo"),
        ("unet/config.json", {"_name_or_path": "/models/sdxl-turbo"}, "Turbo"),
    ],
)
def test_a_folder_tells(model: Path, name: str, settings: dict[str, str], kind: str) -> None:
    assert distilled(model) is None
    tell(model, name, **settings)
    found = distilled(model)
    assert found and found.kind == kind
    assert drawing_of(model) == found.drawing


def test_darkroom_json_comes_first(model: Path) -> None:
    tell(model, "model_index.json", _name_or_path="sd-turbo")
    tell(model, "darkroom.json", recipe={}, drawing={"steps": 2, "scheduler": "euler", "size": 512})
    assert drawing_of(model) == DrawingDefaults(steps=2, guidance=1, scheduler="euler", size=512)
    recipe = recipe_for(model, method="full")
    assert (recipe.class_steps, recipe.sample_steps, recipe.class_guidance, recipe.sample_guidance) == (2, 2, 1, 1)
    tell(model, "darkroom.json", recipe={"class_steps": 9})
    assert recipe_for(model, method="full").class_steps == 9


@pytest.mark.parametrize("drawing", [{"steps": 0}, {"guidance": "none"}, {"scheduler": "lcm"}, {"cfg": 1}, []])
def test_drawing_that_does_not_work_is_told(model: Path, drawing: object) -> None:
    tell(model, "darkroom.json", drawing=drawing)
    with pytest.raises(SetupError, match=r"darkroom\.json does not work: drawing"):
        load_base(str(model))


@pytest.mark.slow
def test_the_doctor_tells(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_BASE_MODEL", str(model))
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    assert report(TrainerSettings()).state == "ok"
    tell(model, SCHEDULE, timestep_spacing="trailing")
    told = report(TrainerSettings())
    assert told.state == "warn" and "Its scheduler begins at the very last step" in " ".join(told.lines)
    tell(model, "model_index.json", _name_or_path="stabilityai/sd-turbo")
    told = report(TrainerSettings())
    assert told.state == "warn" and "It is distilled (Turbo: " in " ".join(told.lines)
    assert "draws with steps 4, guidance 1, scheduler euler-a" in " ".join(told.lines)


@pytest.mark.parametrize("how", ["by its name", "by its metadata"])
def test_a_single_file_tells(how: str, micro_sd1: Path, tmp_path: Path) -> None:
    path = write_single(micro_sd1, tmp_path / ("my_turbo.safetensors" if how == "by its name" else "mine.safetensors"))
    if how == "by its metadata":
        save_file(load_file(path), path, {"modelspec.title": "SDXL Turbo"})
    assert drawing_of(find(str(path), tmp_path, half=False).folder).steps == 4


def test_what_nobody_asks_for_is_written_into_the_job() -> None:
    given = ImagineArguments(prompt="a dog", guidance=2)
    assert (given.steps, given.guidance, given.scheduler) == (None, 2, None)
    old = ImagineJob(space="s", owner="o", prompt="a dog", model_prompt="a dog", seed=1)
    assert (old.steps, old.guidance, old.scheduler, old.unasked) == (30, 5, "dpm++2m", ())
    body = json.loads(old.model_dump_json())
    del body["unasked"]  # as older versions wrote it
    assert read_job(json.dumps(body).encode()) == old


def test_a_picture_is_drawn_as_the_base_model_says_but_for_what_a_person_asks(model: Path) -> None:
    tell(model, "darkroom.json", drawing={"steps": 4, "guidance": 1, "scheduler": "euler", "size": 512})
    common = {"space": "s", "owner": "o", "prompt": "a dog", "model_prompt": "a dog", "seed": 1}
    nobody = ImagineJob(**common, unasked=("steps", "guidance", "scheduler"))
    told = {"steps": 4, "guidance": 1, "scheduler": "euler", "side_px": 512}
    assert drawn_as(nobody, model).items() >= told.items()
    somebody = ImagineJob(**common, guidance=3, unasked=("steps", "scheduler"))
    assert drawn_as(somebody, model).items() >= (told | {"guidance": 3}).items()
    old = ImagineJob(**common)
    assert drawn_as(old, model).items() >= {"steps": 30, "guidance": 5, "scheduler": "dpm++2m"}.items()
    tell(model, "darkroom.json", drawing={"steps": 7})
    assert drawn_as(nobody, model).items() >= {"steps": 7, "guidance": 5, "scheduler": "dpm++2m"}.items()
