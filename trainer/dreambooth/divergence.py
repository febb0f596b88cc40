"""Divergence: the loss, the gradients or what was learned are not finite any more, and will not become so again."""

import math

from storage.errors import UserError
from trainer.dreambooth.train import Training

OVERFLOWS = 8  # steps in a row whose loss half precision may spoil: they are skipped
LEAST_SCALE = 2**-6  # of the loss in half precision: a scaler halves it at each overflow, from 65,536 on
LOWER = "lower the learning rate"


class Diverged(UserError):
    """A training that cannot go on. `what` happened, and what may help."""

    def __init__(self, what: str, advice: str = LOWER) -> None:
        super().__init__(f"{what}; {advice}.")
        self.what, self.advice = what, advice

    def kept(self, step: int) -> str:
        """The sentence for a training of which an earlier state was kept."""
        return f"{self.what}, so it is kept as it was at step {step}. To get further, {self.advice}."


class LossCheck:
    """Looks at each loss of a training as it becomes known."""

    def __init__(self) -> None:
        self._first: int | None = None  # step of the first of the losses in a row that are not finite

    def loss(self, step: int, loss: float, training: Training) -> None:
        """Raise Diverged if the losses have stopped being numbers."""
        if math.isfinite(loss):
            self._first = None
            return
        self._first = first = self._first or step
        scaled = training.accelerator.scaler is not None  # on a GPU
        # A scaler begins far too high and halves until gradients fit, so some of the first steps often overflow.
        if scaled and step - first + 1 < OVERFLOWS and step < training.recipe.steps:
            return
        what = f"The loss stopped being a number at step {first}"
        if first == 1:
            advice = "nothing was learned yet: whoever runs me should check the base model with `darkroom doctor`"
        elif scaled:
            advice = f"set precision=no, since half precision (fp16) holds small numbers alone, or {LOWER}"
        else:
            advice = LOWER
        raise Diverged(what, advice)

    @staticmethod
    def gradients(training: Training) -> None:
        """Raise Diverged if half precision has skipped one step after another. Waits for the GPU."""
        scaler = training.accelerator.scaler
        if scaler and scaler.get_scale() < LEAST_SCALE:
            what = f"The gradients overflowed in half precision (fp16) up to step {training.taken}"
            raise Diverged(what, f"set precision=no, or {LOWER}")
