"""Diffusion transformers of few random weights: as diffusers' own pipelines read, encode, predict, draw and load."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from storage.errors import UserError
from tests.support.dit_peers import PEERS, PROMPTS, SIZE, Call, Peer, drawn_by, noise_of
from tests.support.micro_models import write_micro_z_image
from tests.support.quick import slow_but
from trainer.diffusion import latents as pictures
from trainer.diffusion import sampling
from trainer.dreambooth import lora
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Training
from trainer.dreambooth.weights import half_precision, put
from trainer.engine.engine import Engine
from trainer.memory.estimate import MemoryEstimate
from trainer.models.base import BaseModel, load_base
from trainer.models.darkroom_json import drawing_of
from trainer.models.default_recipe import check_recipe, recipe_for
from trainer.models.families import family_of
from trainer.models.meta_model import MetaModel
from trainer.protocol import ImagineTask, TaskResult

NEW = [name for name in PEERS if "klein" not in name]  # that one has a file of its own for the same


@pytest.fixture(scope="module", params=slow_but(NEW, "z-image"))
def peer(request: pytest.FixtureRequest) -> Peer:
    return PEERS[request.param]


@pytest.fixture(scope="module", autouse=True)
def accepted() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_ACCEPTED_LICENCES", "krea-2-community")
        yield


@pytest.fixture(scope="module")
def folder(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peer.write(tmp_path_factory.mktemp("dit"))


@pytest.fixture(scope="module")
def base(folder: Path) -> BaseModel:
    return load_base(str(folder))


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn(base: BaseModel, denoiser: Any, *seeds: int, **how: Any) -> Tensor:
    return sampling.sample_latents(base, denoiser, PROMPTS, [*seeds], scheduler="euler", size=SIZE, **how)


@torch.no_grad()
def test_prompts_are_read_in_training_as_the_pipeline_reads_them_to_draw(
    peer: Peer, base: BaseModel, pipeline: Any
) -> None:
    reading = base.denoiser.read(base.token_ids(PROMPTS))
    assert reading.mask is not None
    ours = [rows[mask] for rows, mask in zip(reading.tokens, reading.mask, strict=True)]
    for mine, theirs in zip(ours, peer.reads(pipeline, PROMPTS), strict=True):
        assert mine.shape == theirs.shape and torch.allclose(mine, theirs, atol=1e-5)


@torch.no_grad()
def test_pictures_come_back_from_latents_of_unit_variance_as_the_pipeline_decodes_them(
    base: BaseModel, pipeline: Any
) -> None:
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1
    mean, deviation = base.encode(pixels)
    assert mean.shape == deviation.shape == (2, *base.latent_shape(SIZE))
    frame = pixels.unsqueeze(2) if pipeline.vae.config.get("z_dim") else pixels
    back = pipeline.vae.decode(pipeline.vae.encode(frame).latent_dist.mean).sample.reshape(pixels.shape)
    assert torch.allclose(base.decode(base.normalised(mean)), back, atol=1e-4)


@torch.no_grad()
def test_a_prediction_is_that_of_a_step_of_the_pipeline(peer: Peer, base: BaseModel, pipeline: Any) -> None:
    calls: list[Call] = []
    shape = noise_of(base, 1, 2).shape
    hook = pipeline.transformer.register_forward_hook(
        lambda _, args, how, output: calls.append(peer.call(args, how, output, shape)), with_kwargs=True
    )
    drawn_by(peer, pipeline, base, PROMPTS, 1, 2, steps=3, guidance=4.0)
    hook.remove()
    assert len(calls) == 3 * peer.calls_per_step
    for noisy, t, theirs in calls[:: peer.calls_per_step]:
        assert torch.allclose(base.denoiser(noisy, t, base.token_ids(PROMPTS)), theirs, atol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_drawing_is_that_of_the_pipeline(peer: Peer, base: BaseModel, pipeline: Any, guidance: float) -> None:
    theirs = drawn_by(peer, pipeline, base, PROMPTS, 1, 2, steps=5, guidance=guidance)
    ours = drawn(base, base.denoiser, 1, 2, steps=5, guidance=guidance)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert [image.size for image in pictures.decode(base, ours)] == [SIZE, SIZE]


def test_without_guidance_each_picture_takes_one_row_of_a_pass(base: BaseModel) -> None:
    rows: list[int] = []
    hook = base.denoiser.register_forward_hook(lambda _, args, output: rows.append(len(output)))
    drawn(base, base.denoiser, 1, 2, steps=1, guidance=1.0)
    drawn(base, base.denoiser, 1, 2, steps=1, guidance=2.0)
    hook.remove()
    assert rows == [2, 4]


def test_noise_times_and_target_are_those_of_diffusers_scripts(base: BaseModel, pipeline: Any) -> None:
    clean, noise = torch.randn(2, 64, *base.latent_shape(SIZE))
    t = base.process.draw_times(clean, torch.Generator().manual_seed(0))
    sigma = t.view(-1, 1, 1, 1) / 1000
    table = FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config).timesteps  # not those of a picture
    assert {*t.tolist()} <= {*table.tolist()}
    assert torch.allclose(base.process.add_noise(clean, noise, t), (1.0 - sigma) * clean + sigma * noise)
    assert torch.equal(base.process.target(clean, noise, t), noise - clean)


@pytest.fixture(scope="module")
def learned(base: BaseModel, photos: list[Path]) -> Any:
    """A subject that was learned from a single photo, and its losses."""
    how = recipe_for(
        base.folder,
        learning_rate=1e-2,
        schedule="constant",
        warmup_steps=0,
        steps=30,
        rank=4,
        alpha=8,
        batch=2,
        crops=1,
    )
    training = Training(base, [(SubjectSpec(photos[:1], "dog", "zuf"), None)], how, seed=0)
    for _ in range(how.steps):
        training.step()
    return training.finish(), training.losses[:, 0]


def test_a_subject_overfits_a_single_photo(base: BaseModel, learned: Any) -> None:
    denoiser, losses = learned
    assert losses[-10:].mean() < 0.95 * losses[:10].mean()  # random weights around it let it learn no more
    before, after = (drawn(base, each, 1, 2, steps=2, guidance=1.0) for each in (base.denoiser, denoiser))
    assert not torch.allclose(before, after, atol=1e-2)
    merged = base.denoiser.copy()
    put(half_precision(denoiser, base.denoiser), merged, base.denoiser)
    kept = drawn(base, merged, 1, 2, steps=2, guidance=1.0)
    assert torch.allclose(kept, after, atol=0.05)  # it was kept in half precision


def test_its_lora_draws_the_same_in_plain_diffusers(peer: Peer, base: BaseModel, pipeline: Any, learned: Any) -> None:
    state = {name: weight.detach() for name, weight in lora.state(learned[0]).items()}
    pipeline.load_lora_weights(base.files().lora_file(state))
    theirs = drawn_by(peer, pipeline, base, PROMPTS, 1, 2, steps=3, guidance=4.0)
    pipeline.unload_lora_weights()
    assert torch.allclose(drawn(base, learned[0], 1, 2, steps=3, guidance=4.0), theirs, atol=1e-3)


def test_rare_words_and_what_does_not_fit(base: BaseModel) -> None:
    assert "zuf" in base.short_words() and base.rare_words
    assert base.unread("a dog") == ""
    assert base.unread("dog " * 600 + "red").endswith("red")


def test_it_is_known_by_its_index_and_its_memory_by_its_settings(peer: Peer, folder: Path, base: BaseModel) -> None:
    assert family_of(folder) is base.family and base.family.method == "lora"
    drawing = drawing_of(folder)
    assert (drawing.steps, drawing.scheduler) == (peer.steps, "euler")
    needs = MemoryEstimate(MetaModel.of(folder, torch.float32))
    how = recipe_for(folder)
    assert 0 < needs.drawing_bytes() < needs.training_bytes(how.model_copy(update={"batch": 16}), None)
    assert base.denoiser.row_bytes(100) > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "full"}, "cannot be trained with method=full: take lora"),
        ({"text_learning_rate": 1e-4}, "text encoder of .* cannot be trained: set text_learning_rate=0"),
        ({"snr_gamma": 5.0}, "flow matching: set snr_gamma=0"),
        ({"noise_offset": 0.1}, "set noise_offset=0"),
    ],
)
def test_what_cannot_be_trained_is_refused_when_the_recipe_is_read(
    base: BaseModel, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        check_recipe(recipe_for(base.folder, **changes), base.family)


def test_a_size_that_does_not_divide_into_tokens_is_refused(tmp_path: Path) -> None:
    said: list[Any] = []
    engine = Engine(load_base(str(write_micro_z_image(tmp_path, 8, 8, 8, 16))), said.append)
    how = {"steps": 1, "guidance": 1.0, "negative": "", "scheduler": "euler", "vary_seed": None, "facts": {}}
    for size in ((72, 64), (64, 64)):
        common = {"job": "one", "folder": str(tmp_path), "prompt": "a dog", "weights": None, "seeds": (3,)}
        engine.inbox.put(ImagineTask(size=size, **common, **how))
        engine.run_until_idle()
    refused, done = (news for news in said if isinstance(news, TaskResult))
    assert (refused.state, done.state) == ("failed", "done")
    assert refused.message == "Z-Image draws pictures whose sides are multiples of 16 pixels: 64×64 would do."
