"""Training state as tensors by name, all that the next step depends on; saved in checkpoints and restored."""

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.dreambooth.fsdp import STATE, on_cpu, share

if TYPE_CHECKING:
    from trainer.dreambooth.train import Training

log = logging.getLogger(__name__)

SCALE = ("scale", "_growth_tracker")  # what changes in a gradient scaler


def state_of(training: "Training") -> dict[str, Tensor]:
    """The tensors themselves, not copies. What the recipe says is not among them."""
    adam = [training.optimizer.state.get(weight, {}) for weight in _weights(training)]
    scaler = training.accelerator.scaler  # of half precision alone
    scale = [scaler.state_dict()[name] for name in SCALE] if scaler else []
    validated = [[step, *losses] for step, losses in training.validated.items()]
    return {
        **{f"weights.{name}": weight for name, weight in training.learning.items()},
        **{f"average.{name}": weight for name, weight in training.average.items()},
        **{f"adam.{k}.{name}": torch.as_tensor(value) for k, kept in enumerate(adam) for name, value in kept.items()},
        # Python's floats in full, since a schedule computes the next rate from them
        "rates": torch.tensor([group["lr"] for group in training.optimizer.param_groups], dtype=torch.float64),
        "scale": torch.tensor(scale, dtype=torch.float64),
        "choice": training.choice.get_state(),
        "chance": training.chance.get_state(),
        "losses": training.losses[: training.taken],
        "validated": torch.tensor(validated, dtype=torch.float64),
    }


def copied(training: "Training") -> dict[str, Tensor]:
    """A copy of the state in the memory of the machine, none of it in shares: for the leader."""
    if training.shards:
        training.shards.call(STATE)
        return training.shards.copied(state_of(training))
    return {name: on_cpu(tensor) for name, tensor in state_of(training).items()}


def restore(training: "Training", state: dict[str, Tensor]) -> None:
    """Restore a state; raises KeyError or RuntimeError if it is another training's.

    One that was written on another kind of device goes on, too, but by other chance: theirs cannot be handed over.
    """
    training.taken = len(state["losses"])
    training.losses[: training.taken] = state["losses"]
    training.validated = {int(step): (instance, prior) for step, instance, prior in state["validated"].tolist()}
    training.choice.set_state(state["choice"])
    _restore_chance(training, state["chance"])
    with torch.no_grad():
        for name, weight in training.learning.items():
            # In place: the optimizer, shards and captured graphs all refer to these very tensors.
            weight.copy_(share(state[f"weights.{name}"], weight))
        for name, average in training.average.items():
            average.copy_(share(state[f"average.{name}"], average))
    _restore_optimizer(training, state)
    training.rate.last_epoch = training.taken  # what the schedule counts by
    if (scaler := training.accelerator.scaler) and len(state["scale"]):  # in another precision there was none
        scale, tracker = state["scale"].tolist()
        scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": int(tracker)})


def _restore_chance(training: "Training", state: Tensor) -> None:
    chance = training.chance
    if len(state) == len(chance.get_state()):
        chance.set_state(state)
        return
    chance.manual_seed(chance.initial_seed() + training.taken)
    log.warning(
        "the checkpoint at step %d was written on another kind of device: it resumes with other random numbers",
        training.taken,
    )


def _weights(training: "Training") -> list[Tensor]:
    """What the optimizer changes, in its order."""
    return [weight for group in training.optimizer.param_groups for weight in group["params"]]


def _restore_optimizer(training: "Training", state: dict[str, Tensor]) -> None:
    optimizer = training.optimizer
    weights = _weights(training)
    adam: dict[int, dict[str, Tensor | int]] = {}
    for index, name in (key.split(".")[1:] for key in state if key.startswith("adam.")):
        value = share(state[f"adam.{index}.{name}"], weights[int(index)])
        counts = not (value.ndim or value.is_floating_point())  # bitsandbytes counts steps in a number of Python's
        adam.setdefault(int(index), {})[name] = int(value) if counts else value
    optimizer.load_state_dict({"state": adam, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, rate in zip(optimizer.param_groups, state["rates"].tolist(), strict=True):
        group["lr"] = rate
