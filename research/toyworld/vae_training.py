"""Training of Toyworld's autoencoder, on drawings and on crops of photographs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, mse_loss

from research.toyworld.data import Pictures, character_photos, drawings, photographs
from research.toyworld.fit import DEVICE, Chance, fit, to_tensor
from research.toyworld.shapes import Shape, build_vae
from research.toyworld.warm_start import start_vae

HELD_OUT = ("dog6", "teapot", "rc_car", "wolf_plushie")  # photographs the autoencoder never sees


def pictures_for_vae(cache: Path, photo_folder: Path | None, count: int, size_px: int) -> Pictures:
    """`count` drawings, characters in their patterns and, where a folder of them is given, half as many photographs."""
    parts = [drawings(cache, count, size_px=size_px)[0]]
    parts += [character_photos(50_000 + k, 8, size_px=size_px) for k in range(250)]
    if photo_folder:
        parts.append(photographs(photo_folder, count // 2, HELD_OUT, size_px))
    return np.concatenate(parts)


def pretrain_vae(
    out: Path, shape: Shape, pictures: Pictures, steps: int = 7_000, start: Path | None = None
) -> AutoencoderKL:
    """Train the autoencoder on crops of half a side, the last tenth on whole pictures: L1, L2 and a light KL.

    `start` is a model for pictures half as large to begin from. The first channels of the latent are then held to
    what its autoencoder makes of the reduced picture, so that its denoiser knows them.
    """
    modules = nn.ModuleDict({"vae": build_vae(shape)})
    vae: Any = modules["vae"]
    small: Any = AutoencoderKL.from_pretrained(start / "vae").to(DEVICE).eval().requires_grad_(False) if start else None
    if start:
        start_vae(vae, small)

    def loss_of_step(chance: Chance) -> Tensor:
        crop_px, batch = (shape.image_px // 2, 16) if chance.done < 0.9 else (shape.image_px, 6)
        rng = np.random.default_rng(chance.number)
        which = rng.integers(len(pictures), size=batch)
        y, x = rng.integers(0, shape.image_px - crop_px + 1, 2) // 8 * 8
        clean = to_tensor(pictures[which][:, y : y + crop_px, x : x + crop_px])
        posterior = vae.encode(clean).latent_dist
        error = vae.decode(posterior.sample(chance.generator)).sample.float() - clean
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).float().mean()
        loss: Tensor = error.abs().mean() + 5 * error.square().mean() + 2e-4 * kl
        if small:
            known = small.encode(avg_pool2d(clean, 2)).latent_dist.mean.float()
            loss = loss + 0.05 * mse_loss(posterior.mean[:, : known.shape[1]].float(), known)
        return loss

    fit("vae", out, modules, loss_of_step, steps, 1e-3)
    # A denoiser that goes on from another expects latents of the same scale.
    scale = small.config.scaling_factor if small else float(1 / encode(vae, pictures[:2_000]).std())
    vae.register_to_config(scaling_factor=round(scale, 4))
    vae.save_pretrained(out / "model" / "vae")
    return vae


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Pictures) -> Tensor:
    """Means of the pictures' latents, n × channels × h × w, unscaled."""
    parts = np.array_split(pictures, len(pictures) // 100 + 1)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        return torch.cat([vae.encode(to_tensor(part)).latent_dist.mean.float() for part in parts])
