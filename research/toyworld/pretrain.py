"""Remake Toyworld's base model from scratch: `python -m research.toyworld.pretrain all --out FOLDER`.

Four stages, each resumable from its last checkpoint: the autoencoder, the tokenizer, the denoiser with its text
encoder, and the judge. On two CPU cores the whole takes a few hours; with a GPU, minutes. Under `torchrun` the
processes share each batch: on a busy machine two of one thread each lose less than one of two.
"""

import argparse
import logging
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel

from research.toyworld.data import Pictures, character_photos, drawings
from research.toyworld.fit import DEVICE, Chance, fit, to_tensor
from research.toyworld.judge_training import disturbed, label_loss, likeness_loss
from research.toyworld.shapes import SHAPES, Shape, build_text_encoder, build_unet
from research.toyworld.tokenizer import RARE_WORDS, write_tokenizer
from research.toyworld.vae_training import encode, pictures_for_vae, pretrain_vae
from research.toyworld.warm_start import start_unet
from trainer.models.diffusers_layout import RECIPE_FILE
from trainer.threads import processors
from trainer.toyworld.judge import Judge
from trainer.toyworld.words import Scene, caption

log = logging.getLogger(__name__)


def pretrain_denoiser(
    out: Path,
    shape: Shape,
    vae: AutoencoderKL,
    pictures: tuple[Pictures, list[Scene]],
    steps: int = 12_000,
    batch: int = 32,
    start: Path | None = None,
) -> None:
    """Train UNet and text encoder together on cached latents, v-prediction (Salimans & Ho 2022, arXiv 2202.00512).

    Each example's weight is min(1, 5 / (SNR + 1)): the v-loss, but for nearly clean latents, whose noise is
    all but unknowable and would otherwise rule the gradient (after Hang et al. 2023, arXiv 2303.09556).
    A tenth of the captions are empty, for classifier-free guidance. `start` is a model to begin from.
    """
    drawn, scenes = pictures
    torch.manual_seed(0)
    tokenizer = write_tokenizer(out / "model" / "tokenizer", shape.text_tokens)
    scheduler = noise_schedule()
    latents = _cached_latents(out / "cache" / f"latents-{len(drawn)}.safetensors", vae, drawn)
    modules = nn.ModuleDict(
        {
            "unet": build_unet(shape),
            "text_encoder": build_text_encoder(shape, len(tokenizer), tokenizer.eos_token_id),
        }
    )
    if start:
        start_unet(modules["unet"], start / "unet")
        modules["text_encoder"].load_state_dict(CLIPTextModel.from_pretrained(start / "text_encoder").state_dict())
    snr = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)
    weights = (5 / (snr + 1)).clamp(max=1).to(DEVICE)

    def loss_of_step(chance: Chance) -> Tensor:
        rng = Random(chance.number)
        which = [rng.randrange(len(scenes)) for _ in range(batch)]
        captions = ["" if rng.random() < 0.1 else caption(scenes[i], rng, RARE_WORDS) for i in which]
        ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(DEVICE)
        clean = latents[which].to(DEVICE).float()
        noise = torch.randn(clean.shape, generator=chance.generator, device=DEVICE)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (batch,), generator=chance.generator, device=DEVICE)
        text = modules["text_encoder"](ids).last_hidden_state
        noisy = scheduler.add_noise(clean, noise, t)
        predicted = modules["unet"](noisy, t, text).sample.float()
        error = (predicted - scheduler.get_velocity(clean, noise, t)).square().mean((1, 2, 3))
        loss: Tensor = (weights[t] * error).mean()
        return loss

    fit("denoiser", out, modules, loss_of_step, steps, 5e-4 if start else 8e-4, warmup_steps=500, ema_decay=0.9995)
    if dist.is_initialized() and dist.get_rank():
        return
    vae.register_to_config(_name_or_path="")  # diffusers notes where it was read from; that is nobody's business
    pipeline = StableDiffusionPipeline(
        vae, modules["text_encoder"], tokenizer, modules["unet"], scheduler, None, None, requires_safety_checker=False
    )
    pipeline.to("cpu", torch.float16).save_pretrained(out / "model")
    shutil.copy(Path(__file__).with_name(RECIPE_FILE), out / "model")


def noise_schedule() -> DDPMScheduler:
    """The noise schedule: linear (Ho et al. 2020), so that nearly nothing of a picture is left at its end.

    The scaled-linear one of Stable Diffusion leaves the mean colour visible, which the first step of sampling
    does not have; at 16 × 16 latents that would tint every picture.
    """
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="linear",
        beta_start=1e-4,
        beta_end=0.02,
        prediction_type="v_prediction",
        clip_sample=False,
        steps_offset=1,
        timestep_spacing="trailing",  # sampling begins at pure noise, as Lin et al. 2023 (arXiv 2305.08891) advise
    )


def _cached_latents(path: Path, vae: AutoencoderKL, pictures: Pictures) -> Tensor:
    """Scaled latents of all pictures, float16, kept in a file."""
    if not path.exists():
        save_file({"latents": (encode(vae, pictures) * vae.config.scaling_factor).half().contiguous().cpu()}, path)
    return load_file(path)["latents"]


def pretrain_judge(out: Path, cache: Path, steps: int = 2_500) -> Judge:
    """Train the judge on drawings: 64 scenes for the labels, 16 characters × 4 photos for the likeness a step."""
    pictures, scenes = drawings(cache, 60_000)
    photos = _cached_characters(cache / "characters.npy")
    modules = nn.ModuleDict({"judge": Judge()})

    def loss_of_step(chance: Chance) -> Tensor:
        rng = np.random.default_rng(chance.number)
        which = rng.integers(len(pictures), size=64)
        who = rng.choice(len(photos), size=16, replace=False)
        seen = np.concatenate([photos[who, k] for k in rng.choice(photos.shape[1], size=4, replace=False)])
        both = disturbed(to_tensor(np.concatenate([pictures[which], seen])), chance.generator)
        logits, embeddings = modules["judge"](both)
        labels = {name: values[:64].float() for name, values in logits.items()}
        individuals = torch.from_numpy(np.tile(who, 4))
        return label_loss(labels, [scenes[i] for i in which]) + likeness_loss(embeddings[64:].float(), individuals)

    judge = fit("judge", out, modules, loss_of_step, steps, 1e-3, ema_decay=0.995)["judge"]
    assert isinstance(judge, Judge)
    half = {name: value.half().contiguous() for name, value in judge.state_dict().items()}
    save_file(half, out / "judge.safetensors")
    return judge


def _cached_characters(path: Path, count: int = 3_000, each: int = 8) -> Pictures:
    """Photos of many characters, count × each × h × w × 3, kept in a file; none of them is used for figures."""
    if not path.exists():
        with ProcessPoolExecutor(processors()) as pool:
            drawn = pool.map(character_photos, range(100_000, 100_000 + count), [each] * count, chunksize=50)
            np.save(path, np.stack(list(drawn)))
    photos: Pictures = np.load(path, mmap_mode="r")
    return photos


def main() -> None:
    """Run the stages that are asked for; under `torchrun`, together with the other processes."""
    parser = argparse.ArgumentParser(prog="python -m research.toyworld.pretrain", description="Remake Toyworld.")
    parser.add_argument("stage", choices=("vae", "denoiser", "judge", "all"))
    parser.add_argument("--out", type=Path, default=Path("build/toyworld"), help="checkpoints, caches and the result")
    parser.add_argument(
        "--photos", type=Path, help="a folder of photographs, so that the autoencoder carries real ones"
    )
    parser.add_argument("--size", type=int, choices=tuple(SHAPES), default=64, help="of a picture's side, in pixels")
    parser.add_argument("--drawings", type=int, default=60_000, help="to learn from; the autoencoder takes a fifth")
    parser.add_argument("--start", type=Path, help="a model folder to begin from, instead of from nothing")
    parser.add_argument("--steps", type=int, help="of the stage, instead of its default")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    how = {"steps": given.steps} if given.steps else {}
    if "RANK" in os.environ:
        dist.init_process_group()
    shape, cache = SHAPES[given.size], given.out / "cache"
    if given.stage in ("vae", "all"):
        pictures = pictures_for_vae(cache, given.photos, given.drawings // 5, given.size)
        pretrain_vae(given.out, shape, pictures, start=given.start, **how)
    if given.stage in ("denoiser", "all"):
        own = given.out / "model" / "vae"
        folder = given.start / "vae" if given.start and not own.exists() else own
        vae = AutoencoderKL.from_pretrained(folder).to(DEVICE).eval()
        drawn = drawings(cache, given.drawings, size_px=given.size)
        pretrain_denoiser(given.out, shape, vae, drawn, start=given.start, **how)
    if given.stage in ("judge", "all"):
        pretrain_judge(given.out, cache, **how)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
