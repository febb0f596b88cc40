"""Time drawing with and without previews, in turns: `python -m tests.bench.previews`.

An engine of Toyworld in this process draws four pictures in thirty steps; with previews as if somebody looked all the
time. Prints JSON: seconds, medians; the ratio is that of neighbouring runs, and `mapped` the cost of one preview.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from trainer.diffusion.preview import LatentPreview, contact_sheet
from trainer.engine.engine import Engine
from trainer.models.base import BaseModel, load_base
from trainer.protocol import ImagineTask, ProgressReport, Watch

ROUNDS, STEPS, SEEDS = 7, 30, (1, 2, 3, 4)


def drawn_s(base: BaseModel, watched: bool) -> tuple[float, int]:
    """How long a drawing takes, and how many previews were made."""
    said: list[Any] = []
    engine = Engine(base, said.append)
    engine.preview(base)
    with tempfile.TemporaryDirectory() as folder:
        how: dict[str, Any] = {"negative": "", "scheduler": "dpm++2m", "vary_seed": None, "facts": {}}
        task = ImagineTask(
            job="a", folder=folder, prompt="a dog", weights=None, seeds=SEEDS, steps=STEPS, guidance=5.0, **how
        )
        if watched:
            engine.inbox.put(Watch(job="a", on=True))
        engine.inbox.put(task)
        began_s = time.monotonic()
        engine.run_until_idle()
        took_s = time.monotonic() - began_s
    return took_s, sum(isinstance(news, ProgressReport) and bool(news.preview) for news in said)


def main() -> None:
    """Measure, and print JSON."""
    torch.set_num_threads(1)
    base = load_base("toyworld")
    began_s = time.monotonic()
    preview = LatentPreview.fitted(base)
    fitted_s = time.monotonic() - began_s
    rounds = [(drawn_s(base, False)[0], *drawn_s(base, True)) for _ in range(ROUNDS)]
    latents = torch.randn(len(SEEDS), *base.latent_shape())
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(20):
            contact_sheet(preview.pictures(latents), base.image_px).save(Path(folder) / "it.jpg", quality=75)
    figures = {
        "without (s)": statistics.median(without for without, _, _ in rounds),
        "with (s)": statistics.median(with_ for _, with_, _ in rounds),
        "with ÷ without": statistics.median(with_ / without for without, with_, _ in rounds),
        "previews": statistics.median(count for _, _, count in rounds),
        "mapped (s)": (time.monotonic() - began_s) / 20,
        "fitted (s)": fitted_s,
    }
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}, ensure_ascii=False, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
