"""A LoRA file out of a full training: of each layer's difference, the part of low rank that is nearest to it."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainer.dreambooth.lora import ALPHA, DOWN, UP
from trainer.models.denoiser import Denoiser

RANK = 32  # unless somebody asks for another
SPARE, ROUNDS = 16, 4  # of the randomised decomposition (Halko et al. 2011, arXiv 0909.4061): both make it surer


class ExtractedLora(NamedTuple):
    """Adapters, by their names in files, and how much of the difference they hold, as shares of its squared size."""

    adapters: dict[str, Tensor]
    kept: float
    elsewhere: float  # in weights that a LoRA file has no place for: embeddings, norms, biases


def extract(differences: Mapping[str, Tensor], denoiser: Denoiser, rank: int) -> ExtractedLora:
    """Decompose `differences`, by the names of `denoiser`'s weights, into adapters of one `rank`."""
    names, layers = denoiser.file_names(), dict(denoiser.named_modules())
    adapters: dict[str, Tensor] = {}
    whole = in_rank = elsewhere = 0.0
    # The decomposition is randomised: with a fixed seed, two exports of a subject are the same file.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, difference in differences.items():
            # In double precision: a sum over millions of squares loses its small terms in float32.
            squared = float(difference.double().square().sum())
            whole += squared
            path, _, kind = name.rpartition(".")
            if kind == "weight" and isinstance(layers[path], nn.Linear | nn.Conv2d):
                down, up = _decomposed(difference.to(next(denoiser.parameters()).device).float(), rank)
                adapters |= {names[path] + DOWN: down, names[path] + UP: up}
                adapters[names[path] + ALPHA] = torch.tensor(float(rank))
                in_rank += squared - float((difference - _product(down, up, difference)).double().square().sum())
            else:
                elsewhere += squared
    return ExtractedLora(adapters, in_rank / (whole or 1), elsewhere / (whole or 1))


def _decomposed(difference: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The two narrow matrices, shaped like their layer: rank × in (× h × w), and out × rank (× 1 × 1).

    Where a layer itself is narrower, the rest is zeros: diffusers wants one rank throughout.
    """
    matrix = difference.flatten(1)
    u, s, v = torch.svd_lowrank(matrix, q=min(rank + SPARE, *matrix.shape), niter=ROUNDS)
    # Half of each singular value to either side, so that both matrices have one scale.
    root = s[:rank].sqrt()
    pad = (0, rank - len(root))
    down, up = (nn.functional.pad(half[:, :rank] * root, pad).to("cpu", torch.bfloat16) for half in (v, u))
    pixel = (1,) * (difference.ndim - 2)
    return down.T.reshape(rank, *difference.shape[1:]).contiguous(), up.reshape(len(up), rank, *pixel).contiguous()


def _product(down: Tensor, up: Tensor, like: Tensor) -> Tensor:
    return (up.float().flatten(1) @ down.float().flatten(1)).reshape(like.shape)
