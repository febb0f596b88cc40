"""What today's base models take, as `darkroom doctor` computes it: `python -m tests.bench.memory [NAME…]`.

Nothing is loaded: the models' published settings are written into a folder, and rehearsed on PyTorch's meta device.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from storage.settings.trainer import BaseWeights, TrainerSettings
from tests.bench.model_settings import MODELS, write_settings
from trainer.memory.device import Device
from trainer.memory.estimate import MemoryEstimate
from trainer.memory.fit import half_of, memory_plans, with_less_memory
from trainer.models.default_recipe import recipe_for
from trainer.models.meta_model import MetaModel
from trainer.models.placement import OFFLOADS

GPUS = {f"{size} GB": Device(f"a GPU of {size} GB", size * 10**9, torch.device("cuda")) for size in (24, 80)}
WEIGHTS: dict[str, BaseWeights] = {"bf16": "plain", "int8, float8": "int8"}
HEAD = ("model", "weights", "offloaded", "drawing", "LoRA", "LoRA, slower", "in the machine's memory")


Models = dict[tuple[str, str], MemoryEstimate]  # by what they are called, and what their weights are kept as


def estimates(names: list[str], scratch: Path) -> Models:
    """Each model in bf16 and in 8 bits; int8 and float8 take the same."""
    folders = {name: write_settings(name, scratch / name.replace(" ", "-")) for name in names}
    return {
        (name, called): MemoryEstimate(
            MetaModel.of(folder, torch.bfloat16, weights), lora=recipe_for(folder, method="lora")
        )
        for name, folder in folders.items()
        for called, weights in WEIGHTS.items()
    }


def rows(models: Models) -> Iterator[tuple[str, ...]]:
    """Memory of a GPU for each way to keep a model's weights."""
    here = GPUS["24 GB"]
    for (name, weights), whole in models.items():
        recipe = recipe_for(whole.skeleton.base.folder, method="lora")
        for offload in OFFLOADS:
            needs = whole.with_offload(offload)
            half, gently = half_of(recipe, needs), with_less_memory(recipe)
            takes = [
                needs.drawing_bytes(),
                None if offload == "blocks" else needs.training_bytes(recipe, half),
                needs.training_bytes(gently, half),
            ]
            figures = ["" if each is None else f"{here.needs_bytes(each) / 1e9:.1f}" for each in takes]
            beside = f"{needs.host_bytes() / 1e9:.1f}" if needs.host_bytes() else ""
            yield name, weights, offload, *figures, beside


def chosen(models: Models) -> Iterator[tuple[str, ...]]:
    """What a worker does of its own accord on each GPU to train LoRA."""
    for (name, weights), needs in models.items():
        cells, recipe = [], recipe_for(needs.skeleton.base.folder, method="lora")
        for here in GPUS.values():
            plans = memory_plans(needs, here, recipe, TrainerSettings(_env_file=None))
            plan = next((each for each in plans if each.takes_bytes <= here.memory_bytes), None)
            how = [] if plan is None else [f"offload={plan.offload}" * (plan.offload != "none"), "slower" * plan.gentle]
            said = ", ".join(filter(None, how))
            cells.append("refused" if plan is None else f"{plan.takes_bytes / 1e9:.1f} GB{said and f' ({said})'}")
        yield name, weights, *cells


def table(head: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> None:
    """Write a table as Markdown, a row when it is known."""
    for cells in (head, ("---",) * len(head)):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    for cells in lines:
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
        sys.stdout.flush()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MODELS, []], help="models; all where none is named")
    names = parser.parse_args().names or [*MODELS]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        models = estimates(names, Path(scratch))
        table(HEAD, rows(models))
        sys.stdout.write("\n")
        table(("model", "weights", *GPUS), chosen(models))


if __name__ == "__main__":
    main()
