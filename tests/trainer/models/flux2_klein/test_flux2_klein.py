"""FLUX.2 [klein] of few random weights: as diffusers' own pipeline reads, predicts, draws and loads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from PIL import Image
from torch import Tensor

from storage.errors import UserError
from tests.support.micro_models import write_micro_klein
from trainer.diffusion import latents as pictures
from trainer.diffusion import sampling
from trainer.diffusion.images import to_tensor
from trainer.dreambooth import lora
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Training
from trainer.dreambooth.weights import half_precision, put
from trainer.memory.estimate import MemoryEstimate
from trainer.models.base import load_base
from trainer.models.darkroom_json import drawing_of
from trainer.models.default_recipe import recipe_for
from trainer.models.families import family_of
from trainer.models.flux2_klein.model import Flux2Klein
from trainer.models.meta_model import MetaModel

PROMPTS = ["a photo of a zuf dog", "a photo of a dog, which is blue"]
SIZE = (48, 32)


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["base", "distilled"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_micro_klein(tmp_path_factory.mktemp("klein"), request.param)


@pytest.fixture(scope="module")
def klein(folder: Path) -> Flux2Klein:
    base = load_base(str(folder))
    assert isinstance(base, Flux2Klein)
    return base


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    pipeline = Flux2KleinPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def noise_of(klein: Flux2Klein, *seeds: int) -> Tensor:
    shape = (1, *klein.latent_shape(SIZE))
    return torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def latents_of(pipeline: Any, klein: Flux2Klein, latents: Tensor) -> Tensor:
    """What the pipeline gives unnormalised and not in patches, as latents of ours."""
    return klein.normalised(torch.nn.functional.pixel_unshuffle(latents, 2))


@torch.no_grad()
def test_prompts_are_read_as_the_pipeline_reads_them(klein: Flux2Klein, pipeline: Any) -> None:
    theirs, _ = pipeline.encode_prompt(PROMPTS)
    ours = klein.denoiser.read(klein.token_ids(PROMPTS)).tokens
    assert torch.allclose(ours, theirs, atol=1e-5)


@torch.no_grad()
def test_pictures_are_encoded_and_decoded_as_the_pipeline_does(klein: Flux2Klein, pipeline: Any) -> None:
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1
    mean, _ = klein.encode(pixels)
    assert mean.shape == (2, *klein.latent_shape(SIZE))
    theirs = pipeline._encode_vae_image(pixels, generator=None)
    assert torch.allclose(klein.normalised(mean), theirs, atol=1e-5)
    back = pipeline.vae.decode(pipeline.vae.encode(pixels).latent_dist.mean).sample
    assert torch.allclose(klein.decode(theirs), back, atol=1e-4)


@torch.no_grad()
def test_a_prediction_is_that_of_a_step_of_the_pipeline(klein: Flux2Klein, pipeline: Any) -> None:
    calls: list[tuple[dict[str, Any], Tensor]] = []
    hook = pipeline.transformer.register_forward_hook(
        lambda _, args, how, output: calls.append((how, output[0])), with_kwargs=True
    )
    width, height = SIZE
    noise = noise_of(klein, 1, 2)
    how = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "latent"}
    pipeline(prompt=PROMPTS, height=height, width=width, latents=noise, **how)
    hook.remove()
    assert len(calls) == (6 if klein.is_guided else 3)
    for how, predicted in calls[:: 2 if klein.is_guided else 1]:
        noisy, theirs = (part.transpose(1, 2).reshape(noise.shape) for part in (how["hidden_states"], predicted))
        t = how["timestep"] * 1000
        ours = klein.denoiser(noisy, t, klein.token_ids(PROMPTS))
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_drawing_is_that_of_the_pipeline(klein: Flux2Klein, pipeline: Any) -> None:
    width, height = SIZE
    how = {"num_inference_steps": 5, "guidance_scale": 4.0, "output_type": "latent"}
    theirs = pipeline(prompt=PROMPTS, height=height, width=width, latents=noise_of(klein, 1, 2), **how).images
    drawn = {"steps": 5, "guidance": 4.0, "scheduler": "euler", "size": SIZE}
    ours = sampling.sample_latents(klein, klein.denoiser, PROMPTS, [1, 2], **drawn)
    assert torch.allclose(ours, latents_of(pipeline, klein, theirs), atol=1e-4)
    assert [image.size for image in pictures.decode(klein, ours)] == [SIZE, SIZE]


def photo_of(size: tuple[int, int], seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([(64, 64)], id="one", marks=pytest.mark.slow),
        pytest.param([(64, 83), (98, 64), (64, 64)], id="several"),
    ],
)
def test_a_drawing_that_refers_to_photos_is_that_of_the_pipeline(
    klein: Flux2Klein, pipeline: Any, sizes: list[tuple[int, int]]
) -> None:
    width, height = SIZE
    photos = [photo_of(size, seed) for seed, size in enumerate(sizes)]
    how = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "latent"}
    noise = noise_of(klein, 1, 2)
    theirs = pipeline(image=photos, prompt=PROMPTS, height=height, width=width, latents=noise, **how).images
    drawn = {"steps": 3, "guidance": 4.0, "scheduler": "euler", "size": SIZE}
    references = pictures.reference_latents(klein, photos)
    ours = sampling.sample_latents(klein, klein.denoiser, PROMPTS, [1, 2], references=references, **drawn)
    assert torch.allclose(ours, latents_of(pipeline, klein, theirs), atol=1e-4)
    without = sampling.sample_latents(klein, klein.denoiser, PROMPTS, [1, 2], **drawn)
    assert not torch.allclose(ours, without, atol=1e-3)


@pytest.mark.parametrize("size", [(1500, 1100), (1024, 1024), (67, 64)])
def test_a_photo_is_made_as_large_as_the_pipeline_makes_it(
    klein: Flux2Klein, pipeline: Any, size: tuple[int, int]
) -> None:
    photo = photo_of(size, 0)
    theirs = pipeline.image_processor._resize_if_exceeds_area(photo)
    width, height = (side // klein.latent_px * klein.latent_px for side in theirs.size)
    theirs = pipeline.image_processor.preprocess(theirs, height=height, width=width, resize_mode="crop")
    assert torch.allclose(to_tensor([klein.as_reference(photo)]), theirs, atol=1e-6)


@pytest.mark.slow
def test_drawings_that_refer_to_different_photos_share_passes(klein: Flux2Klein) -> None:
    def begun(seed: int, side_px: int = 64) -> sampling.Denoising:
        references = pictures.reference_latents(klein, [photo_of((side_px, 64), seed)])
        how = {"steps": 2, "guidance": 4.0, "scheduler": "euler", "size": SIZE, "references": references}
        return sampling.Denoising(klein, klein.denoiser, PROMPTS[0], [seed], **how)

    alone, together = ([begun(seed) for seed in (1, 2)] for _ in range(2))
    for _ in range(2):
        sampling.step_together(together)
        for each in (*alone, *together):
            each.step()
    assert all(torch.allclose(one.latents, two.latents, atol=1e-4) for one, two in zip(alone, together, strict=True))
    assert not torch.allclose(alone[0].latents, alone[1].latents, atol=1e-2)
    assert begun(1).batch_key == begun(2).batch_key != begun(3, 80).batch_key
    plain = sampling.Denoising(klein, klein.denoiser, PROMPTS[0], [1], steps=2, guidance=4.0, size=SIZE)
    assert plain.batch_key != begun(1).batch_key


def test_the_same_schedule_is_drawn_by_another_solver_and_others_are_refused(klein: Flux2Klein) -> None:
    euler, solver = (sampling.scheduler_for(klein, name, 8).sigmas for name in ("euler", "dpm++2m"))
    assert torch.allclose(euler[:-1], solver[:-1], atol=0.05) and euler[0] == 1
    images = sampling.draw(klein, klein.denoiser, "a dog", [1], steps=2, guidance=1.0)
    assert len([*images]) == 1
    with pytest.raises(UserError, match=r"pndm cannot draw .* flow matching. Take one of euler, dpm"):
        sampling.scheduler_for(klein, "pndm", 4)


def trained(klein: Flux2Klein, photos: list[Path], **changes: Any) -> Training:
    how = recipe_for(klein.folder, learning_rate=1e-2, schedule="constant", warmup_steps=0, **changes)
    training = Training(klein, [(SubjectSpec(photos, "dog", "zuf"), None)], how, seed=0)
    for _ in range(how.steps):
        training.step()
    return training


@pytest.mark.slow
def test_a_subject_overfits_a_photo_and_its_lora_draws_the_same_in_plain_diffusers(
    klein: Flux2Klein, pipeline: Any, photos: list[Path], tmp_path: Path
) -> None:
    training = trained(klein, photos[:1], steps=40, rank=4, alpha=8, batch=2, flips=False, crops=1)
    losses = training.losses[:, 0]
    assert losses[-10:].mean() < 0.95 * losses[:10].mean()  # random weights around it let it learn no more
    learned = training.finish()
    before, ours = (drawn(klein, denoiser) for denoiser in (klein.denoiser, learned))
    assert not torch.allclose(before, ours, atol=1e-2)

    state = {name: weight.detach() for name, weight in lora.state(learned).items()}
    pipeline.load_lora_weights(klein.files().lora_file(state))
    width, height = SIZE
    how = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "latent"}
    theirs = pipeline(prompt=PROMPTS[:1], height=height, width=width, latents=noise_of(klein, 1), **how).images
    pipeline.unload_lora_weights()
    assert torch.allclose(ours, latents_of(pipeline, klein, theirs), atol=1e-3)

    merged = klein.denoiser.copy()
    put(half_precision(learned, klein.denoiser), merged, klein.denoiser)
    assert torch.allclose(drawn(klein, merged), ours, atol=0.05)  # it was kept in half precision
    assert merged.text_encoder is klein.denoiser.text_encoder


def drawn(klein: Flux2Klein, denoiser: Any) -> Tensor:
    how = {"steps": 3, "guidance": 4.0, "scheduler": "euler", "size": SIZE}
    return sampling.sample_latents(klein, denoiser, PROMPTS[:1], [1], **how)


def test_noise_and_target_are_those_of_diffusers_script(klein: Flux2Klein) -> None:
    clean, noise = torch.randn(2, 3, 16, 8, 12)
    t = klein.process.draw_times(clean, torch.Generator().manual_seed(0))
    sigma = t.view(-1, 1, 1, 1) / 1000
    assert torch.allclose(klein.process.add_noise(clean, noise, t), (1.0 - sigma) * clean + sigma * noise)
    assert torch.equal(klein.process.target(clean, noise, t), noise - clean)
    assert klein.process.spaced_times(clean).tolist() == pytest.approx([1000 / 6, 500, 5000 / 6])


def test_what_cannot_be_trained_is_refused_in_words(klein: Flux2Klein, photos: list[Path]) -> None:
    for changes, sentence in (
        ({"method": "full"}, "cannot be trained with method=full: take lora"),
        ({"text_learning_rate": 1e-4}, "text encoder of FLUX.2 .* set text_learning_rate=0"),
        ({"snr_gamma": 5.0}, "set snr_gamma=0"),
    ):
        with pytest.raises(UserError, match=sentence):
            trained(klein, photos[:1], steps=1, **changes)


@pytest.mark.slow
def test_rare_words_and_what_does_not_fit(klein: Flux2Klein) -> None:
    assert "zuf" in klein.short_words() and klein.rare_words
    assert klein.unread("a dog") == ""
    assert klein.unread("dog " * 600 + "red").endswith("red")


def test_it_is_known_by_its_index_and_its_memory_by_its_settings(folder: Path, klein: Flux2Klein) -> None:
    assert family_of(folder) is klein.family and klein.family.method == "lora"
    assert drawing_of(folder).steps == (50 if klein.is_guided else 4)
    needs = MemoryEstimate(MetaModel.of(folder, torch.float32))
    how = recipe_for(folder)
    assert 0 < needs.drawing_bytes() < needs.training_bytes(how.model_copy(update={"batch": 64}), None)
