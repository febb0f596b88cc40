"""Both sides of the serving bench: the engine as a worker runs it, and a naive handler of diffusers' warm pipeline."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from storage.settings.trainer import Precision
from tests.conftest import photos_of_a_character
from tests.support.random_adapters import lora_file
from trainer.diffusion.pass_precision import autocast_bfloat16, may_use_bfloat16
from trainer.dreambooth.weights import save_learned
from trainer.engine.engine import Engine
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.protocol import ImagineTask, ProgressReport, SubjectTask, TrainTask

STEPS, GUIDANCE, PROMPT = 20, 4.0, "a dog in Paris"
LATENCY_SHARE = 0.95  # of requests: the percentile that is told


class Ours:
    """The engine, and what it said."""

    def __init__(self, folder: Path, files: list[str], base: BaseModel, precision: Precision = "auto") -> None:
        self.folder, self.files, self.number = folder, files, 0
        self.engine = Engine(base, self.hear, allow_bfloat16=may_use_bfloat16(precision, base))
        self.ended_s: dict[str, float] = {}
        self.on_step: Callable[[str], None] = lambda job: None

    def hear(self, news: Any) -> None:
        if isinstance(news, ProgressReport):
            self.on_step(news.job)
        elif getattr(news, "state", None):
            assert news.state in ("done", "cancelled"), news
            self.ended_s[news.job] = time.perf_counter()

    def task(self, subject: int | str | None, count: int = 1, owner: str = "", steps: int = STEPS) -> ImagineTask:
        """A request for pictures of a subject, by its number or file, or of none."""
        self.number += 1
        out = self.folder / str(self.number)
        out.mkdir()
        how: dict[str, Any] = {"guidance": GUIDANCE, "negative": "", "scheduler": "dpm++2m", "vary_seed": None}
        return ImagineTask(
            job=str(self.number),
            folder=str(out),
            owner=owner or str(self.number),
            prompt=PROMPT,
            weights=self.files[subject] if isinstance(subject, int) else subject,
            seeds=tuple(range(count)),
            steps=steps,
            facts={},
            **how,
        )

    def draw(self, *tasks: ImagineTask) -> list[float]:
        """Run tasks that have come at once; return after how many seconds each was done."""
        began_s = time.perf_counter()
        for task in tasks:
            self.engine.scheduler.add(self.engine._run_of(task))
        while not all(task.job in self.ended_s for task in tasks):  # a training may run beside, and go on
            self.engine._finish([run for run in self.engine.scheduler.step() if run.ended])
        return [self.ended_s[task.job] - began_s for task in tasks]

    def training(self) -> TrainTask:
        """A training that does not end."""
        photos = write_photos(self.folder / "photos")
        files: dict[str, Any] = {"photos": tuple(map(str, photos)), "class_set": str(self.folder / "classes")}
        subject = SubjectTask(subject="s", noun="dog", **files)
        changes = {"steps": 4000, "prior_weight": 0.0, "validate_every": 0, "candidates": 1, "report_card": False}
        recipe = {**recipe_for(self.engine.base.folder).model_dump(), **changes}
        how: dict[str, Any] = {"taken": (), "recipe": recipe, "seed": 0, "checkpoint_s": 999}
        return TrainTask(job="training", folder=str(self.folder), subjects=(subject,), **how)

    @contextmanager
    def beside_a_training(self) -> Iterator[None]:
        """A training is under way."""
        self.engine.scheduler.add(self.engine._run_of(self.training()))
        for _ in range(12):
            self.engine.scheduler.step()
        try:
            yield
        finally:
            self.engine.scheduler.cancel("training")


class Theirs:
    """A warm pipeline and its naive handler, which does one request after another."""

    def __init__(self, files: list[str], base: BaseModel, in_bfloat16: bool = False) -> None:
        self.files, self.in_bfloat16, dtype = files, in_bfloat16, base.denoiser.dtype
        self.pipeline: Any = StableDiffusionPipeline.from_pretrained(
            base.folder, safety_checker=None, torch_dtype=dtype
        )
        self.pipeline.to(base.device)
        self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(self.pipeline.scheduler.config)
        self.pipeline.set_progress_bar_config(disable=True)

    def draw(self, subject: int | None, count: int = 1, steps: int = STEPS) -> None:
        """One request, whose LoRA is loaded for it."""
        if subject is not None:
            self.pipeline.load_lora_weights(self.files[subject])
        self.plain(count, steps)
        if subject is not None:
            self.pipeline.unload_lora_weights()

    def plain(self, count: int = 1, steps: int = STEPS) -> None:
        """Draw with the weights that are there."""
        chance = [torch.Generator().manual_seed(seed) for seed in range(count)]
        how = {"num_images_per_prompt": count, "num_inference_steps": steps, "guidance_scale": GUIDANCE}
        with autocast_bfloat16(self.in_bfloat16):
            self.pipeline(PROMPT, generator=chance, **how)

    def load_whole(self, folder: Path) -> None:
        """The weights of a subject who was learned in full."""
        for name in ("unet", "text_encoder"):
            getattr(self.pipeline, name).load_state_dict(load_file(folder / f"{name}.safetensors"))

    def in_turn(self, subjects: list[int]) -> list[float]:
        """Requests that have come at once; after how many seconds each was done."""
        began_s, ended_s = time.perf_counter(), []
        for subject in subjects:
            self.draw(subject)
            ended_s.append(time.perf_counter() - began_s)
        return ended_s


def write_photos(folder: Path) -> list[Path]:
    """Photos of a drawn character."""
    folder.mkdir(exist_ok=True)
    for upload in photos_of_a_character():
        (folder / upload.name).write_bytes(upload.data)
    return sorted(folder.iterdir())


def lora_files(base: BaseModel, folder: Path, count: int) -> list[str]:
    """So many LoRA of rank 4."""
    first = lora_file(base, folder / "lora-0.safetensors", rank=4, alpha=4, seed=0)
    weights, files = load_file(first), [first]
    for number in range(1, count):
        files.append(str(folder / f"lora-{number}.safetensors"))
        shifted = {name: each.roll(number) for name, each in weights.items()}
        save_file(shifted, files[-1], {"format": "pt", "ss_network_module": "networks.lora"})
    return files


def full_files(base: BaseModel, folder: Path, count: int) -> list[Path]:
    """So many subjects who were learned in full, a folder each: our file, and the peer's of each network."""
    folders = []
    for number in range(count):
        folders.append(folder / f"full-{number}")
        folders[-1].mkdir()
        learned, chance = base.denoiser.copy(), torch.Generator().manual_seed(number)
        with torch.no_grad():
            for weight in learned.parameters():
                weight.add_(0.001 * torch.randn(weight.shape, generator=chance))
        save_learned(folders[-1] / "weights.safetensors", learned, base.denoiser)
        unet, text_encoder = learned.children()
        for name, network in (("unet", unet), ("text_encoder", text_encoder)):
            save_file(
                {key: each.contiguous() for key, each in network.state_dict().items()},
                folders[-1] / f"{name}.safetensors",
            )
    return folders


@contextmanager
def training_process(folder: Path) -> Iterator[None]:
    """A training in a process of its own on the same core, as beside a naive handler."""
    photos = write_photos(folder / "photos")
    command = [sys.executable, "-m", "tests.bench.serving_sides", str(photos[0].parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert process.stdout and process.stdout.readline() == "learning\n"
        yield
    finally:
        process.kill()
        process.wait()


def main(photos: Path) -> None:
    """Learn until killed."""
    from trainer.dreambooth.dataset import SubjectSpec
    from trainer.dreambooth.train import Training

    base = load_base("toyworld")
    how = recipe_for(base.folder, steps=4000, prior_weight=0)
    training = Training(base, [(SubjectSpec(sorted(photos.iterdir()), "dog", "zuf"), None)], how, seed=0)
    for number in range(4000):
        training.step()
        if number == 2:
            print("learning", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
