"""Micro models of the families of diffusion transformers beside diffusers' own pipelines of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from tests.support.micro_models import write_micro_klein, write_micro_krea2, write_micro_z_image
from trainer.models.base import BaseModel

SIZE = (48, 32)
PROMPTS = ["a photo of a zuf dog", "a photo of a dog, which is blue"]


class Call(NamedTuple):
    """One call of a pipeline's transformer, in our terms, with the prompts' rows alone."""

    noisy: Tensor
    t: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class Peer:
    """What the pipeline of a family calls otherwise than Darkroom."""

    write: Callable[[Path], Path]
    steps: int  # of a picture where nobody asks for a number
    noise: Callable[[Tensor], Tensor]  # from ours
    latents: Callable[[Any, Tensor, tuple[int, int, int]], Tensor]  # to ours
    reads: Callable[[Any, list[str]], list[Tensor]]  # by word
    call: Callable[[tuple[Any, ...], dict[str, Any], Any, tuple[int, ...]], Call]
    scale_offset: float = 0  # of its guidance scale to ours
    calls_per_step: int = 1


def _same(latents: Tensor) -> Tensor:
    return latents


def _packed(latents: Tensor) -> Tensor:
    return pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)


def _unpacked(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    rows, channels, height, width = shape
    return pixel_shuffle(packed.transpose(1, 2).reshape(rows, channels * 4, height // 2, width // 2), 2)


def _klein_call(args: Any, how: dict[str, Any], output: Any, shape: tuple[int, ...]) -> Call:
    noisy, velocity = (part.transpose(1, 2).reshape(shape) for part in (how["hidden_states"], output[0]))
    return Call(noisy, how["timestep"] * 1000, velocity)


def _z_image_call(args: Any, how: dict[str, Any], output: Any, shape: tuple[int, ...]) -> Call:
    noisy, velocity = (torch.stack(part[: shape[0]]).squeeze(2) for part in (args[0], output[0]))
    return Call(noisy, 1000 - args[1][: shape[0]] * 1000, -velocity)


def _krea2_call(args: Any, how: dict[str, Any], output: Any, shape: tuple[int, ...]) -> Call:
    noisy, velocity = (_unpacked(part, shape) for part in (how["hidden_states"], output[0]))
    return Call(noisy, how["timestep"] * 1000, velocity)


def _krea2_reads(pipeline: Any, prompts: list[str]) -> list[Tensor]:
    states, masks = pipeline.encode_prompt(prompts)
    return [rows.flatten(1)[mask] for rows, mask in zip(states, masks, strict=True)]


def _klein(distilled: bool) -> Peer:
    return Peer(
        write=lambda folder: write_micro_klein(folder, distilled),
        steps=4 if distilled else 50,
        noise=_same,
        latents=lambda base, latents, shape: base.normalised(pixel_unshuffle(latents, 2)),
        reads=lambda pipeline, prompts: [*pipeline.encode_prompt(prompts)[0]],
        call=_klein_call,
        calls_per_step=1 if distilled else 2,
    )


def _z_image(name: str, steps: int) -> Peer:
    return Peer(
        write=lambda folder: write_micro_z_image(folder / name),
        steps=steps,
        noise=_same,
        latents=lambda base, latents, shape: latents,
        reads=lambda pipeline, prompts: pipeline.encode_prompt([*prompts], do_classifier_free_guidance=False)[0],
        call=_z_image_call,
        scale_offset=-1,
    )


def _krea2(distilled: bool) -> Peer:
    return Peer(
        write=lambda folder: write_micro_krea2(folder, distilled),
        steps=8 if distilled else 28,
        noise=_packed,
        latents=lambda base, latents, shape: _unpacked(latents, (len(latents), *shape)),
        reads=_krea2_reads,
        call=_krea2_call,
        scale_offset=-1,
        calls_per_step=2,
    )


PEERS = {
    "klein-base": _klein(False),
    "klein": _klein(True),
    "z-image": _z_image("Z-Image", 50),
    "z-image-turbo": _z_image("Z-Image-Turbo", 8),
    "krea2-raw": _krea2(False),
    "krea2-turbo": _krea2(True),
}


def noise_of(base: BaseModel, *seeds: int) -> Tensor:
    """The noise from which Darkroom draws pictures with these seeds."""
    shape = (1, *base.latent_shape(SIZE))
    return torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def drawn_by(peer: Peer, pipeline: Any, base: BaseModel, prompts: list[str], *seeds: int, **how: Any) -> Tensor:
    """Latents that the pipeline draws with our settings, as ours are."""
    width, height = SIZE
    asked = {"num_inference_steps": how["steps"], "guidance_scale": how["guidance"] + peer.scale_offset}
    noise = peer.noise(noise_of(base, *seeds))
    images = pipeline(
        prompt=[*prompts], height=height, width=width, latents=noise, output_type="latent", **asked
    ).images
    return peer.latents(base, images, base.latent_shape(SIZE))
