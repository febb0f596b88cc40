"""A training goes on from a checkpoint to the same end; checkpoints of others, and disks that are full."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from tests.support.trainings import recipe, train
from trainer.dreambooth.checkpoint import Checkpointer, read
from trainer.dreambooth.state import copied
from trainer.dreambooth.train import Step
from trainer.models.base import BaseModel


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"schedule": "cosine"}, marks=pytest.mark.slow),
        pytest.param({"accumulation": 2, "text_learning_rate": 0.0}, marks=pytest.mark.slow),
        pytest.param({"method": "lora"}, marks=pytest.mark.slow),
        {"ema_decay": 0.9, "text_steps": 3, "noise_offset": 0.1, "flips": True},
    ],
)
def test_a_training_goes_on_from_a_checkpoint_to_the_same_end_bit_for_bit(
    base: BaseModel, photos: list[Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    steps = 8
    how, chance = recipe(base, steps=steps, **changes), Random(str(changes))
    whole, _ = train(base, photos, how)
    begun, of = None, {"recipe": how.model_dump_json()}
    while begun is None or len(begun["losses"]) < steps - 1:
        last = chance.randint(len(begun["losses"]) + 1 if begun else 1, steps - 1)  # it is killed after this step
        written: list[Path] = []
        checkpointer = Checkpointer(tmp_path, 0, of, lambda _, path, written=written: written.append(path))

        def kill(step: Step, last: int = last, checkpointer: Checkpointer = checkpointer) -> None:
            checkpointer.after(step.step, lambda: copied(step.training))
            if step.step == last:
                checkpointer.write(step.step, lambda: copied(step.training))
                checkpointer.finish()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(base, photos, how, watch=kill, begun=begun)
        begun = read(written[-1], of)
    resumed, taken = train(base, photos, how, begun=begun)
    assert [s.step for s in taken] == [steps]
    assert resumed.losses == whole.losses
    assert all(torch.equal(v, whole.denoiser.state_dict()[n]) for n, v in resumed.denoiser.state_dict().items())


def test_a_checkpoint_of_another_training_is_not_taken(base: BaseModel, photos: list[Path], tmp_path: Path) -> None:
    written: list[Path] = []
    checkpointer = Checkpointer(tmp_path, 0, {"seed": "1"}, lambda _, path: written.append(path))
    train(
        base,
        photos,
        recipe(base, steps=1),
        watch=lambda step: checkpointer.after(step.step, lambda: copied(step.training)),
    )
    checkpointer.finish()
    assert read(written[0], {"seed": "1"})
    assert read(written[0], {"seed": "2"}) is None


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(
    base: BaseModel, photos: list[Path], tmp_path: Path
) -> None:
    checkpointer = Checkpointer(tmp_path / "gone", 0, {}, lambda *_: pytest.fail("nothing was written"))
    learned, _ = train(
        base,
        photos,
        recipe(base, steps=2),
        watch=lambda step: checkpointer.after(step.step, lambda: copied(step.training)),
    )
    checkpointer.finish()
    assert len(learned.losses) == 2
