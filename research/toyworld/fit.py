"""The loop that trains each of Toyworld's networks: AdamW on a cosine schedule, checkpoints, shared batches."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from research.toyworld.data import Pictures

log = logging.getLogger(__name__)

CHECKPOINT_EVERY_S = 60
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Chance(NamedTuple):
    """What a step's loss is drawn from."""

    done: float  # share of the run that lies behind, from 0 to 1
    number: int  # one that no other step and no other process has: a seed
    generator: torch.Generator  # seeded with it


def to_tensor(pictures: Pictures) -> Tensor:
    """Turn n × h × w × 3 bytes into n × 3 × h × w from -1 to 1, channels last in memory, on the device."""
    return torch.from_numpy(np.array(pictures)).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1


def fit(
    name: str,
    out: Path,
    modules: nn.ModuleDict,
    loss_of_step: Callable[[Chance], Tensor],
    steps: int,
    learning_rate: float,
    warmup_steps: int = 200,
    ema_decay: float = 0.0,
) -> nn.ModuleDict:
    """Run `steps` of AdamW on a cosine schedule, checkpointing to `out`/<name>.ckpt; go on from there if it exists.

    An interrupted run goes on as if it had not been, since all chance follows from the step's number. Returns
    the moving average of the weights if `ema_decay` is set, else the weights.
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
            loss = loss_of_step(Chance(step / steps, number, torch.Generator(DEVICE).manual_seed(number)))
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
