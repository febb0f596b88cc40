"""Several subjects in one prompt: who may be in it, that LoRA adds up as elsewhere, what becomes of the pictures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from bot.app import Darkroom
from bot.arguments.prompts import by_names, different, find_subjects, model_prompt
from storage.contract.compatibility import SUBJECTS_MOST
from storage.contract.jobs import job_key
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import read_job
from tests.conftest import Chat, photos_of_a_character
from trainer.diffusion import sampling
from trainer.dreambooth.dataset import SubjectSpec as Learner
from trainer.dreambooth.train import learn
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for
from trainer.models.denoiser import Denoiser

pytestmark = pytest.mark.timeout(360)
PROMPT = "a zuf dog and a kra dog"
PLAIN = """
import sys, torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
folder, prompt, out, *weights = sys.argv[1:]
pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
for file in weights:
    pipeline.load_lora_weights(file, adapter_name=str(weights.index(file)))
pipeline.set_adapters([str(k) for k in range(len(weights))])
pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
latents = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(3))
drawn = pipeline(prompt, latents=latents, num_inference_steps=4, guidance_scale=5.0, output_type="latent")
torch.save(drawn.images, out)
"""


def subject(name: str, **more: object) -> Subject:
    """A subject that was learned with LoRA, for itself, and has a word of its own."""
    usual = {"space": "s", "owner": "you", "name": name, "noun": "dog", "base_model": "b", "state": "ready"}
    own = {"method": "lora", "identifier": f"id{name}", "weights_sha256": f"weights of {name}"}
    return Subject.model_validate({**usual, **own, **more})


# ── who may be in a prompt ────────────────────────────────────────────────────────────────────────────────────────


def test_each_name_is_read_as_its_own_word_and_class() -> None:
    rex, mia = subject("rex"), subject("mia", noun="cat")
    named = find_subjects("a [Mia] and a [rex] dog, [mia] smiles at [V]", [rex, mia], "you", None)
    assert different(named) == [mia, rex]  # [V] is rex, the newest
    assert model_prompt("a [Mia] and a [rex] dog, [mia] smiles at [V]", named) == (
        "a idmia cat and a idrex dog, idmia cat smiles at idrex dog"
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "full"}, "rex and mia cannot be in one picture as they were learned. Learn them together: "),
        ({"method": "full"}, "/dreambooth together rex mia; or each with the method lora: "),
        ({"method": "full"}, ": /dreambooth retrain mia --set method=lora."),
        ({"identifier": "idrex"}, "rex and mia have the same identifier in the model"),
        ({"state": "learning"}, "mia is not ready yet."),
        ({"state": "failed"}, "mia could not be learned, so it cannot be drawn."),
    ],
)
def test_what_cannot_be_in_one_picture_is_told_with_a_way_out(changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        find_subjects("[rex] and [mia]", [subject("rex"), subject("mia", **changes)], "you", None)
    assert sentence in str(refused.value)


def test_those_who_were_learned_together_can_be_together_however_they_were_learned() -> None:
    known = [subject(name, method="full", weights_sha256="one") for name in ("rex", "mia")]
    assert different(find_subjects("[rex] and [mia]", known, "you", None)) == known
    with pytest.raises(UserError, match="rex, mia and tom cannot be in one picture"):
        find_subjects("[rex] and [mia] and [tom]", [*known, subject("tom")], "you", None)


def test_there_is_a_limit() -> None:
    known = [subject(f"dog{k}") for k in range(SUBJECTS_MOST + 1)]
    with pytest.raises(UserError, match=f"{SUBJECTS_MOST} subjects at most"):
        find_subjects(" and ".join(f"[{s.name}]" for s in known), known, "you", None)


def test_a_prompt_of_before_says_names_in_place_of_v() -> None:
    assert by_names("a [V] dog and a [mia]", [subject("rex"), subject("mia")]) == "a [rex] dog and a [mia]"
    assert by_names("a [mia] with [ v ]", [subject("mia"), subject("rex")]) == "a [mia] with [rex]"


def test_a_job_that_was_stored_before_there_could_be_several_is_still_read() -> None:
    job = ImagineJob(space="s", owner="you", prompt="a [rex]", model_prompt="a zuf dog", subjects=("rex's id",), seed=1)
    before = {name: value for name, value in job.model_dump().items() if name != "subjects"}
    before["subject"] = "rex's id"
    assert read_job(json.dumps(before).encode()) == job and job.subjects == ("rex's id",)


# ── LoRA adds up ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def files(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What was learned of two dogs with LoRA, each for itself."""
    folder, paths = tmp_path_factory.mktemp("lora"), []
    for seed, identifier in ((3, "zuf"), (5, "kra")):
        photo = folder / f"{identifier}.png"
        photo.write_bytes(photos_of_a_character(1, seed)[0].data)
        how = recipe_for(base.folder, method="lora", rank=4, steps=4, learning_rate=1e-2, text_learning_rate=1e-2)
        learned = learn(base, [(Learner([photo], "dog", identifier), None)], how, seed, lambda step: None)
        paths.append(folder / f"{identifier}.safetensors")
        save_learned(paths[-1], learned.denoiser, base.denoiser)
    return paths


def latents(base: BaseModel, denoiser: Denoiser) -> Tensor:
    return sampling.sample_latents(base, denoiser, PROMPT, [3], steps=4, guidance=5.0, scheduler="ddim")


@pytest.mark.exhaustive
def test_two_draw_what_diffusers_draws_with_both_adapters(base: BaseModel, files: list[Path], tmp_path: Path) -> None:
    together, *alone = (base.denoiser.copy() for _ in range(3))
    load_learned(files[0], together, base.denoiser, files[1])
    for file, denoiser in zip(files, alone, strict=True):
        load_learned(file, denoiser, base.denoiser)
    ours, plain, *each = (latents(base, denoiser) for denoiser in (together, base.denoiser, *alone))
    for other in each:
        assert (ours - other).norm() > 0.05 * plain.norm()
    subprocess.run(
        [sys.executable, "-c", PLAIN, base.folder, PROMPT, tmp_path / "out", *files], check=True, timeout=400
    )
    theirs = torch.load(tmp_path / "out", weights_only=True)
    assert (theirs - ours).norm() < 0.02 * (ours - plain).norm()


# ── from the chat to the pictures ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_two_subjects_of_lora_in_one_prompt(chat: Chat, app: Darkroom, tmp_path: Path) -> None:
    how = {"noun": "dog", "method": "lora", "steps": 2, "set": "class_images=2 learning_rate=0.01"}
    for name, seed in (("rex", 3), ("mia", 5)):
        await chat("dreambooth train", photos_of_a_character(2, seed), name=name, **how)
    drawing = {"count": 1, "steps": 2, "seed": 7}
    drawn = (await chat("imagine", prompt="a [rex] and a [mia]", **drawing))[-1]
    assert drawn.facts["subject"] == "rex (dog), mia (dog)" and drawn.state == "done"
    rex, mia = [await app.subjects.find(chat.space, name) for name in ("rex", "mia")]
    assert rex and mia and drawn.facts["identifier"] == f"{rex.identifier}, {mia.identifier}"
    assert drawn.facts["subject version"] == ", ".join(str(s.weights_sha256)[:12] for s in (rex, mia))
    await app.store.get_file(drawn.pictures[0].key, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as png:
        assert png.info["subject"] == "rex, mia"
    assert (await chat("again", job=drawn.job))[-1].facts["subject"] == "rex (dog), mia (dog)"
    varied = (await chat("variations", job=drawn.job, seed=7))[-1]
    assert varied.state == "done"

    await chat("dreambooth share", name="mia", audience="private")
    friend = chat.by("friend")
    assert "no subject called mia" in (await friend("imagine", prompt="a [rex] and a [mia]"))[-1].text
    assert "There is no job" in (await friend("again", job=drawn.job))[-1].text

    await chat("dreambooth forget", name="mia")
    for job in (drawn.job, varied.job):
        assert not await app.store.exists(job_key(str(job)))
    assert not await app.store.exists(drawn.pictures[0].key)
    assert (await chat("imagine", prompt="a [rex] in Paris", **drawing))[-1].state == "done"


async def test_one_who_is_learned_anew_meanwhile_is_not_drawn_with_the_other(chat: Chat, app: Darkroom) -> None:
    ids = []
    for name in ("rex", "mia"):
        learned = subject(name, space=chat.space, method="full", id=f"{'a' if name == 'rex' else 'b'}" * 20)
        await app.subjects.add(learned)
        ids.append(learned.id)
    job = ImagineJob(space=chat.space, owner="you", prompt="-", model_prompt="-", subjects=tuple(ids), seed=1)
    await app.accept(job)
    *_, reply = [reply async for reply in app.watch(job.id)]
    assert reply.state == "failed" and "cannot be in one picture as they were learned" in reply.text
    await app.subjects.forget(await app.subjects.get(ids[0]))
    await app.subjects.forget(await app.subjects.get(ids[1]))
