"""Remake Toyworld's base model from scratch: `python -m trainer.toyworld.pretrain all --out FOLDER`.

Four stages, each resumable from its last checkpoint: the autoencoder, the tokenizer, the denoiser with its text
encoder, and the judge. On two CPU cores the whole takes a few hours; with a GPU, minutes. Under `torchrun` the
processes share each batch: on a busy machine two of one thread each lose less than one of two.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainer.toyworld.data import Pictures, character_photos, drawings, photographs
from trainer.toyworld.judge import Judge, disturbed, label_loss, likeness_loss
from trainer.toyworld.shapes import TOYWORLD, build_text_encoder, build_unet, build_vae
from trainer.toyworld.tokenizer import RARE_WORDS, write_tokenizer
from trainer.toyworld.words import caption

log = logging.getLogger(__name__)

HELD_OUT = ("dog6", "teapot", "rc_car", "wolf_plushie")  # photographs the autoencoder never sees
CHECKPOINT_EVERY_S = 60
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_tensor(pictures: Pictures) -> Tensor:
    """Turn n × h × w × 3 bytes into n × 3 × h × w from -1 to 1, channels last in memory, on the device."""
    return torch.from_numpy(np.array(pictures)).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1


def train(
    name: str,
    out: Path,
    modules: nn.ModuleDict,
    loss_of_step: Callable[[int, torch.Generator], Tensor],
    steps: int,
    learning_rate: float,
    warmup_steps: int = 200,
    ema_decay: float = 0.0,
) -> nn.ModuleDict:
    """Run `steps` of AdamW on a cosine schedule, checkpointing to `out`/<name>.ckpt; go on from there if it exists.

    `loss_of_step` gets a number that no other step and process has, and a generator seeded with it, so an
    interrupted run goes on as if it had not been. Returns the moving average of the weights if `ema_decay` is
    set, else the weights.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    modules.to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(modules.parameters(), learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    average = {k: v.detach().clone() for k, v in modules.state_dict().items()}
    path, start = out / f"{name}.ckpt", 0
    if path.exists():
        state = torch.load(path, map_location=DEVICE, weights_only=True)
        modules.load_state_dict(state["modules"])
        optimizer.load_state_dict(state["optimizer"])
        average, start = state["average"], state["step"]
        log.info("%s: going on from step %d", name, start)
    saved_s = logged_s = time.monotonic()
    seen: list[float] = []
    for step in range(start, steps):
        warm, progress = min(1.0, (step + 1) / warmup_steps), step / steps
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
        with torch.autocast(DEVICE.type, torch.bfloat16):
            number = step * world + rank
            loss = loss_of_step(number, torch.Generator(DEVICE).manual_seed(number))
        loss.backward()  # type: ignore[no-untyped-call]
        if world > 1:
            _average_gradients(modules, world)
        torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if ema_decay:
            decay = min(ema_decay, (1 + step) / (10 + step))
            for k, v in modules.state_dict().items():
                average[k].lerp_(v, 1 - decay) if v.is_floating_point() else average[k].copy_(v)
        seen.append(float(loss.detach()))
        if rank == 0 and (step + 1) % 100 == 0:
            took_s, logged_s = time.monotonic() - logged_s, time.monotonic()
            log.info("%s step %d/%d loss %.4f %.3f s/step", name, step + 1, steps, np.mean(seen[-100:]), took_s / 100)
        if rank == 0 and (time.monotonic() - saved_s > CHECKPOINT_EVERY_S or step + 1 == steps):
            _save(path, modules=modules.state_dict(), optimizer=optimizer.state_dict(), average=average, step=step + 1)
            saved_s = time.monotonic()
    if ema_decay:
        modules.load_state_dict(average)
    return modules.eval()


def _average_gradients(modules: nn.Module, world: int) -> None:
    gradients = [p.grad for p in modules.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])  # one message instead of hundreds
    dist.all_reduce(flat)
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient) / world)


def _save(path: Path, **state: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def pictures_for_vae(cache: Path, photo_folder: Path | None) -> Pictures:
    """Drawings, characters in their patterns and, where a folder of them is given, photographs."""
    parts = [drawings(cache, 60_000)[0][:12_000], *(character_photos(50_000 + k, 8) for k in range(250))]
    if photo_folder:
        parts.append(photographs(photo_folder, 6_000, HELD_OUT))
    return np.concatenate(parts)


def pretrain_vae(out: Path, cache: Path, photo_folder: Path | None, steps: int = 7_000) -> AutoencoderKL:
    """Train the autoencoder on 32 px crops, the last tenth on whole pictures: L1 + L2 and a light KL."""
    pictures = pictures_for_vae(cache, photo_folder)
    modules = nn.ModuleDict({"vae": build_vae(TOYWORLD)})
    vae: Any = modules["vae"]

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        crop_px, batch = (32, 32) if step < 0.9 * steps else (64, 16)
        rng = np.random.default_rng(step)
        which = rng.integers(len(pictures), size=batch)
        y, x = rng.integers(0, TOYWORLD.image_px - crop_px + 1, 2) // 4 * 4
        clean = to_tensor(pictures[which][:, y : y + crop_px, x : x + crop_px])
        posterior = vae.encode(clean).latent_dist
        error = vae.decode(posterior.sample(generator)).sample.float() - clean
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).float().mean()
        loss: Tensor = error.abs().mean() + 2 * error.square().mean() + 2e-4 * kl
        return loss

    train("vae", out, modules, loss_of_step, steps, 1e-3)
    latents = encode(vae, pictures[:2_000])
    vae.register_to_config(scaling_factor=round(float(1 / latents.std()), 4))
    vae.save_pretrained(out / "model" / "vae")
    return vae


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Pictures) -> Tensor:
    """Means of the pictures' latents, n × 4 × h × w, unscaled."""
    return torch.cat(
        [vae.encode(to_tensor(part)).latent_dist.mean for part in np.array_split(pictures, len(pictures) // 100 + 1)]
    )


def pretrain_denoiser(out: Path, cache: Path, vae: AutoencoderKL, steps: int = 12_000, batch: int = 32) -> None:
    """Train UNet and text encoder together on cached latents, v-prediction (Salimans & Ho 2022, arXiv 2202.00512).

    Each example's weight is min(1, 5 / (SNR + 1)): the v-loss, but for nearly clean latents, whose noise is
    all but unknowable and would otherwise rule the gradient (after Hang et al. 2023, arXiv 2303.09556).
    A tenth of the captions are empty, for classifier-free guidance.
    """
    pictures, scenes = drawings(cache, 60_000)
    torch.manual_seed(0)
    tokenizer = write_tokenizer(out / "model" / "tokenizer", TOYWORLD.text_tokens)
    scheduler = noise_schedule()
    latents = _cached_latents(cache / "latents.safetensors", vae, pictures)
    modules = nn.ModuleDict(
        {
            "unet": build_unet(TOYWORLD),
            "text_encoder": build_text_encoder(TOYWORLD, len(tokenizer), tokenizer.eos_token_id),
        }
    )
    snr = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)
    weights = (5 / (snr + 1)).clamp(max=1).to(DEVICE)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        rng = Random(step)
        which = [rng.randrange(len(scenes)) for _ in range(batch)]
        said = ["" if rng.random() < 0.1 else caption(scenes[i], rng, RARE_WORDS) for i in which]
        ids = tokenizer(said, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(DEVICE)
        clean = latents[which].to(DEVICE).float()
        noise = torch.randn(clean.shape, generator=generator, device=DEVICE)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (batch,), generator=generator, device=DEVICE)
        text = modules["text_encoder"](ids).last_hidden_state
        noisy = scheduler.add_noise(clean, noise, t)
        predicted = modules["unet"](noisy, t, text).sample.float()
        error = (predicted - scheduler.get_velocity(clean, noise, t)).square().mean((1, 2, 3))
        loss: Tensor = (weights[t] * error).mean()
        return loss

    train("denoiser", out, modules, loss_of_step, steps, 8e-4, warmup_steps=500, ema_decay=0.9995)
    pipeline = StableDiffusionPipeline(
        vae, modules["text_encoder"], tokenizer, modules["unet"], scheduler, None, None, requires_safety_checker=False
    )
    pipeline.to("cpu", torch.float16).save_pretrained(out / "model")


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

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(step)
        which = rng.integers(len(pictures), size=64)
        who = rng.choice(len(photos), size=16, replace=False)
        seen = np.concatenate([photos[who, k] for k in rng.choice(photos.shape[1], size=4, replace=False)])
        both = disturbed(to_tensor(np.concatenate([pictures[which], seen])), generator)
        logits, embeddings = modules["judge"](both)
        labels = {name: values[:64].float() for name, values in logits.items()}
        individuals = torch.from_numpy(np.tile(who, 4))
        return label_loss(labels, [scenes[i] for i in which]) + likeness_loss(embeddings[64:].float(), individuals)

    judge = train("judge", out, modules, loss_of_step, steps, 1e-3, ema_decay=0.995)["judge"]
    assert isinstance(judge, Judge)
    half = {name: value.half().contiguous() for name, value in judge.state_dict().items()}
    save_file(half, out / "judge.safetensors")
    return judge


def _cached_characters(path: Path, count: int = 3_000, each: int = 8) -> Pictures:
    """Photos of many characters, count × each × h × w × 3, kept in a file; none of them is used for figures."""
    if not path.exists():
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            drawn = pool.map(character_photos, range(100_000, 100_000 + count), [each] * count, chunksize=50)
            np.save(path, np.stack(list(drawn)))
    photos: Pictures = np.load(path, mmap_mode="r")
    return photos
