"""Steps of diffusers' scripts for transformers and ours, in turns in one process: `python -m tests.bench.peer_steps`.

The scripts' steps are written out here: peft's adapters on the transformer as diffusers loads it, rows of a photo and a
class image, AdamW as the scripts make it. So both sides see the same load of the machine, which processes that run one
after the other do not. CPU time of one thread; latents and readings of prompts are the same for both.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from tests.bench.peer_transformers import WRITERS
from trainer.dreambooth import lora
from trainer.dreambooth.optim import clip, optimizer_of
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.denoiser import TextEmbeddings

RANK, PROMPTS = 4, ["a photo of zuf dog", "a photo of a dog"]
Predict = Callable[[Tensor, Tensor, TextEmbeddings], Tensor]


def peer_of(base: BaseModel) -> tuple[Any, Predict]:
    """The transformer as the scripts have it, with adapters on the layers that ours has; and how they call it."""
    transformer = DiffusionPipeline.from_pretrained(base.folder).transformer.requires_grad_(False)
    ((_, targets),) = base.denoiser.adapter_targets(text=False)
    transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=targets))
    called = type(base.denoiser)(transformer, base.denoiser.text_encoder)  # packing and places, which take no time
    plain(transformer)
    return transformer.train(), lambda noisy, sigma, reading: called.velocity(noisy, sigma, reading)


def plain(transformer: Any) -> None:
    """Give attention, norms and gates of a transformer back to diffusers."""
    for module in transformer.modules():
        if type(module).__module__.startswith("trainer."):
            module.__class__ = type(module).__mro__[1]
        processor = getattr(module, "processor", None)
        if type(processor).__module__.startswith("trainer."):
            module.set_processor(type(processor).__mro__[1]())


def stepper(predict: Predict, weights: list[Any], optimizer: Any, ours: bool, base: BaseModel) -> Callable[[], float]:
    """What takes a step, and says how much CPU time that took."""
    chance = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 2, *base.latent_shape(), generator=chance)
    reading = base.denoiser.read(base.token_ids(PROMPTS))

    def step() -> float:
        began_s = time.process_time()
        sigma = torch.rand(2)
        at = sigma.view(-1, 1, 1, 1)
        predicted = predict((1 - at) * clean + at * noise, sigma, reading)
        losses = (predicted - (noise - clean)).square().mean((1, 2, 3))
        losses.sum().backward()
        clip(optimizer, weights, 1.0) if ours else clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - began_s

    return step


def both(folder: Path) -> dict[str, Callable[[], float]]:
    """Steps of both sides on the model in a folder."""
    base = load_base(str(folder))
    transformer, predict = peer_of(base)
    weights = [weight for weight in transformer.parameters() if weight.requires_grad]
    theirs = stepper(predict, weights, torch.optim.AdamW(weights, lr=1e-4), ours=False, base=base)
    learner = lora.with_adapters(base.denoiser, RANK, RANK, read=False, seed=0).train()
    own = [weight for weight in learner.parameters() if weight.requires_grad]
    optimizer = optimizer_of(learner, recipe_for(folder, method="lora", rank=RANK))
    mine = stepper(lambda noisy, sigma, reading: learner.velocity(noisy, sigma, reading), own, optimizer, True, base)  # type: ignore[attr-defined]
    return {"peer": theirs, "ours": mine}


def main() -> None:
    """Print medians and the median of ratios for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        for name, write in WRITERS.items():
            write(Path(scratch) / name)
            steps = both(Path(scratch) / name)
            took = [{who: step() for who, step in steps.items()} for _ in range(rounds + 2)][2:]
            peer, ours = (statistics.median(each[who] for each in took) for who in ("peer", "ours"))
            ratio = statistics.median(each["peer"] / each["ours"] for each in took)
            sys.stdout.write(f"{name}: peer {peer:.3f} s, ours {ours:.3f} s, peer ÷ ours {ratio:.2f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
