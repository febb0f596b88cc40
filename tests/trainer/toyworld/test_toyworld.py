"""Toyworld: its drawings, its words, and the model and judge that ship."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from research.toyworld.scenes import character, draw_scene
from research.toyworld.tokenizer import RARE_WORDS
from storage.contract.recipe import Recipe
from tests.support.quick import examples
from trainer.diffusion import sampling
from trainer.diffusion.images import to_tensor
from trainer.metrics.embedders import ToyworldEmbedder, small
from trainer.metrics.similarity import SubjectSimilarity
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.local_files import TOYWORLD_FOLDER
from trainer.toyworld.judge import WEIGHTS, Judge, judge_pictures, load_judge
from trainer.toyworld.words import CLASSES, COLOURS, PLACES, STUDIO, Scene, caption, random_scene

SHIPPED_BYTES_MAX = 16 * 2**20


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return load_base("toyworld")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge()


# ── drawings and words ────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(40), deadline=None)
@given(st.integers())
def test_every_scene_can_be_drawn_and_is_the_same_each_time(seed: int) -> None:
    scene = random_scene(Random(seed))
    first, again = (draw_scene(scene, Random(seed)) for _ in range(2))
    assert first.size == (64, 64)
    assert first.tobytes() == again.tobytes()


@settings(deadline=None)
@given(st.integers())
def test_a_caption_says_only_what_is_there(seed: int) -> None:
    scene = random_scene(Random(seed))
    said = caption(scene, Random(seed), RARE_WORDS)
    assert scene.noun in said.split()
    others = (set(COLOURS) - {scene.colour, scene.second_colour, "red", "blue"}) | (set(CLASSES) - {scene.noun})
    assert not others & set(said.split())
    assert all(place not in said for place in PLACES if place != scene.place)
    assert STUDIO not in said


def test_a_character_keeps_its_looks_in_every_place() -> None:
    rng = Random(0)
    rex, other = character(1, "dog"), character(2, "dog")
    photos = [rex.photo(rng, place) for place in PLACES[:4]]
    plain = [draw_scene(Scene("dog", colour, STUDIO), rng) for colour in COLOURS]
    likeness = SubjectSimilarity(
        ToyworldEmbedder().embed, photos, zero=plain, one=[rex.photo(rng, place) for place in PLACES[4:8]]
    )
    assert likeness.of([rex.photo(rng, place) for place in PLACES[8:]]) > 0.9
    assert likeness.of([other.photo(rng) for _ in range(8)]) < 0.4


def test_the_judge_reads_drawings(judge: Judge) -> None:
    rng = Random(5)
    scenes = [Scene(rng.choice(CLASSES), rng.choice(list(COLOURS)), rng.choice(PLACES)) for _ in range(64)]
    seen = judge_pictures(judge, to_tensor([draw_scene(scene, rng) for scene in scenes])).words
    for label in ("noun", "colour", "place"):
        assert np.mean([seen[label][k] == getattr(s, label) for k, s in enumerate(scenes)]) > 0.95


# ── the model that ships ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_ships_is_small() -> None:
    shipped = [*TOYWORLD_FOLDER.rglob("*.safetensors"), WEIGHTS]
    assert len(shipped) == 4
    assert sum(path.stat().st_size for path in shipped) <= SHIPPED_BYTES_MAX
    assert not [path for path in TOYWORLD_FOLDER.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


def test_its_recipe_is_within_the_limits() -> None:
    assert isinstance(recipe_for(TOYWORLD_FOLDER), Recipe)


def test_the_autoencoder_carries_drawings(base: BaseModel) -> None:
    rng = Random(3)
    pictures = to_tensor([draw_scene(random_scene(rng), rng, base.image_px) for _ in range(16)])
    with torch.no_grad():
        error = (base.vae(pictures).sample.clamp(-1, 1) - pictures) / 2
    assert float(-10 * error.square().mean().log10()) > 26


@pytest.mark.slow
def test_it_draws_what_is_asked(base: BaseModel, judge: Judge) -> None:
    asked = [("dog", "red", "in Paris"), ("car", "blue", "on the beach"), ("teapot", "green", "on a wooden table")]
    for noun, colour, place in asked:
        prompt = f"a photo of a {colour} {noun} {place}"
        images = list(sampling.draw(base, base.denoiser, prompt, [1, 2, 3, 4], steps=15, guidance=4.0))
        seen = judge_pictures(judge, small(images)).words
        assert [seen[label].count(word) >= 3 for label, word in (("colour", colour), ("place", place))] == [True, True]
        assert seen["noun"].count(noun) >= 2


def test_plain_diffusers_reads_the_folder(base: BaseModel) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(Path(TOYWORLD_FOLDER), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline("a dog", num_inference_steps=2, output_type="pil").images[0]
    assert drawn.size == (base.image_px, base.image_px)
