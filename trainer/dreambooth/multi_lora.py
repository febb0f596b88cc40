"""Steps of several LoRA trainings of one base model in one pass there and back.

Each keeps its own loss, optimizer, schedule and random numbers, and has the very bits that it has alone, so who joins
or leaves changes nothing for the others. That is checked on this device: of each shape and number of trainings the
first steps are computed in both ways. Where gradients differ in a bit, these trainings take their steps one by one;
where it takes longer, or memory is short, fewer share their steps for a while.
"""

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.batch_limit import BatchLimit
from trainer.dreambooth.multi_lora_network import Adapters, MultiLoraNetwork
from trainer.dreambooth.train import Pass, Training
from trainer.models.base import BaseModel
from trainer.models.denoiser import Text, TextEmbeddings, joined
from trainer.models.finite import is_finite
from trainer.out_of_memory import free_cached_memory, is_out_of_memory

log = logging.getLogger(__name__)

MEASURED = 3  # steps of each shape and number of trainings that are computed both ways


def batch_key(training: Training) -> Hashable | None:
    """What trainings have in common whose next steps may share a pass; None: it takes its steps alone."""
    recipe, accelerator = training.recipe, training.accelerator
    if recipe.method != "lora" or recipe.compiled != "off" or training.shards or accelerator.scaler:
        return None
    if accelerator.num_processes > 1 or training.base.denoiser.rowless:
        return None
    reads = recipe.text_learning_rate > 0
    return recipe.batch, recipe.accumulation, recipe.prior, reads, recipe.gradient_checkpointing, recipe.precision


class MultiLora:
    """Computes gradients of several trainings at once. What cannot be computed so is left to each one's own step."""

    def __init__(self, base: BaseModel, most: int | BatchLimit, clock: Callable[[], float] = time.perf_counter) -> None:
        """`most` is how many trainings may share a pass at first; `clock` measures passes."""
        self.base, self.clock = base, clock
        self.limit = most if isinstance(most, BatchLimit) else BatchLimit(most)
        self._networks: dict[bool, MultiLoraNetwork] = {}  # with gradient checkpointing, and without
        self._exact: dict[Hashable, bool] = {}  # whether gradients are to the last bit those of steps alone
        self._took_s: dict[Hashable, list[tuple[float, float]]] = {}  # steps alone, one after another, and together
        self.refused: set[Hashable] = set()  # keys of trainings that gain nothing by a common turn

    @property
    def most(self) -> int:
        """How many trainings may share a pass now: as many as memory allows, and as is quicker than one by one."""
        return self.limit.current

    def step(self, trainings: Sequence[Training]) -> None:
        """Draw the next step of trainings of one `batch_key`, and compute their gradients together where that can be.

        Each one's own `step` then goes on from there.
        """
        key: Hashable = None
        try:
            passes = [training.drawn() for training in trainings]
            shapes = {tuple(_shapes(*one) for one in each) for each in passes}
            if len(shapes) > 1:
                return
            key = (batch_key(trainings[0]), len(trainings), *shapes)
            if key not in self._exact:
                self._compare(key, trainings, passes)
            elif self._exact[key]:
                self._backward(trainings, passes)
        except Exception as error:
            self._undo(trainings)
            if not is_out_of_memory(error):
                log.exception("%d trainings could not take a step together", len(trainings))
                if key is not None:
                    self._refuse(key, trainings)
                return
            self.limit.lower(len(trainings) // 2)
            log.warning("memory was short for the steps of %d trainings at once", len(trainings))
            free_cached_memory()

    def _compare(self, key: Hashable, trainings: Sequence[Training], passes: Sequence[list[Pass]]) -> None:
        """Compute gradients alone and together, of which the former stay; note whether they are equal, and the time."""
        began_s = self._now_s()
        for training, its in zip(trainings, passes, strict=True):
            training.backward(its)
        alone, alone_s = [_gradients(training) for training in trainings], self._now_s() - began_s
        self._undo(trainings)
        began_s = self._now_s()
        self._backward(trainings, passes)
        together, together_s = [_gradients(training) for training in trainings], self._now_s() - began_s
        for training, found in zip(trainings, alone, strict=True):
            training.losses[training.taken] = found.losses
            for weight, gradient in zip(training.learning.values(), found.gradients, strict=True):
                weight.grad = gradient
        if not all(is_finite(part) for found in alone for part in found.tensors()):  # NaN does not equal itself
            return
        if not all(map(_equal, alone, together)):
            log.info("%d trainings share no steps: together they round differently here", len(trainings))
            self._refuse(key, trainings)
        elif all(map(_tells, alone)):
            self._measured(key, len(trainings), alone_s, together_s)

    def _measured(self, key: Hashable, count: int, alone_s: float, together_s: float) -> None:
        """Note how long a step took in both ways; where it is slower together, fewer trainings share steps from now on.

        The best times count: others may have been disturbed, and the first ones warm up.
        """
        times = self._took_s.setdefault(key, [])
        times.append((alone_s, together_s))
        if len(times) < MEASURED:
            return
        self._exact[key] = True
        best_alone_s, best_together_s = map(min, zip(*times, strict=True))
        if best_together_s > best_alone_s:
            log.info("steps of %d trainings take %.2f of the time alone", count, best_together_s / best_alone_s)
            self.limit.lower(count - 1)
            del self._exact[key], self._took_s[key]  # to be measured anew when so many are tried again

    def _now_s(self) -> float:
        """The time, once the device has done what it was asked for."""
        if self.base.device.type == "cuda":
            torch.cuda.synchronize(self.base.device)
        return self.clock()

    def _refuse(self, key: Hashable, trainings: Sequence[Training]) -> None:
        """Let such trainings take their steps one by one from now on, and in turns of their own."""
        self._exact[key] = False
        self.refused.add(batch_key(trainings[0]))

    def _backward(self, trainings: Sequence[Training], passes: Sequence[list[Pass]]) -> None:
        adapters = [training.adapters for training in trainings]
        for of_each in zip(*passes, strict=True):
            self._pass(trainings, adapters, of_each)
        for training in trainings:
            training.has_gradients = True

    def _pass(self, trainings: Sequence[Training], adapters: Sequence[Adapters], passes: Sequence[Pass]) -> None:
        """One pass there and back over the examples of all."""
        first, each = trainings[0], list(zip(trainings, passes, strict=True))
        with first.casts:
            taught = [training.teacher_prediction(*one) for training, one in each]
            noisy, t, text = zip(*(training.inputs(*one) for training, one in each), strict=True)
            with self._network(first).learning(adapters) as network:
                predicted = network(torch.cat(noisy), torch.cat(t), _joined(text))
                parts = predicted.split([len(part) for part in noisy])
                losses = [
                    torch.stack(training.loss_of(part, one[0], its)) / len(training.drawn())
                    for (training, one), part, its in zip(each, parts, taught, strict=True)
                ]
                torch.autograd.backward([loss[0] for loss in losses])
        for training, loss in zip(trainings, losses, strict=True):
            training.losses[training.taken] += loss.detach()

    def _network(self, training: Training) -> MultiLoraNetwork:
        again = training.recipe.gradient_checkpointing
        if again not in self._networks:
            self._networks[again] = MultiLoraNetwork(self.base.denoiser, again)
        return self._networks[again]

    @staticmethod
    def _undo(trainings: Sequence[Training]) -> None:
        """Forget gradients and losses of the step under way."""
        for training in trainings:
            training.optimizer.zero_grad(set_to_none=True)
            training.losses[training.taken] = 0
            training.has_gradients = False


class _Gradients(NamedTuple):
    """What a step's passes leave."""

    losses: Tensor
    gradients: list[Tensor | None]  # of each weight that learns

    def tensors(self) -> list[Tensor]:
        """All that there is."""
        return [self.losses, *(each for each in self.gradients if each is not None)]


def _gradients(training: Training) -> _Gradients:
    return _Gradients(training.losses[training.taken].clone(), [w.grad for w in training.learning.values()])


def _tells(gradients: "_Gradients") -> bool:
    """Whether gradients tell anything: while all `up` are zero, as at first, so is what goes to each `down`."""
    return 2 * sum(part is not None and bool(part.any()) for part in gradients.gradients) > len(gradients.gradients)


def _equal(one: _Gradients, other: _Gradients) -> bool:
    pairs = zip([one.losses, *one.gradients], [other.losses, *other.gradients], strict=True)
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


def _shapes(batch: object, text: Text) -> Hashable:
    """The shapes of a pass, which trainings must have in common to share it."""
    parts = [*vars(batch).values(), *_tensors(text)]
    return tuple(tuple(part.shape) if isinstance(part, Tensor) else part for part in parts)


def _tensors(text: Text) -> list[Tensor]:
    return [*text.tensors()] if isinstance(text, TextEmbeddings) else [*text]


def _joined(texts: Sequence[Text]) -> Text:
    """Prompts of several trainings one after another, read or still to be read, all of the same shapes."""
    read = [text for text in texts if isinstance(text, TextEmbeddings)]
    if read:
        return joined(read)
    return [torch.cat(parts) for parts in zip(*texts, strict=True)]
