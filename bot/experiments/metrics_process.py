"""Client of a trainer process that measures pictures: the bot itself is without PyTorch."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

from bot.experiments.evaluation_plan import as_metrics_read
from bot.local.children import last_log_line
from bot.local.trainer_process import INSTALL
from storage.base_models import TOYWORLD
from storage.contract.evaluation import Figures, MeasureRequest, MetricModels, PromptPictures
from storage.contract.subjects import Subject
from storage.errors import SetupError, UserError
from storage.objects.store import Store
from storage.settings.bot import BotSettings

LOG = "measuring.log"  # in DARKROOM_HOME: what the process says besides
LINE_MOST_BYTES = 2**24  # of an answer; figures of a prompt are a hundred
NO_MODELS = (
    "Nothing here can measure pictures. Name a CLIP model with --clip or DARKROOM_JUDGE, a DINO model with --dino or "
    "DARKROOM_DINO, or both; docs/evaluation.md says which the paper has."
)


def metric_models(settings: BotSettings, clip: str | None, dino: str | None) -> MetricModels:
    """The models that measure, by options and settings; raises UserError if there are none."""
    models = MetricModels(
        clip=clip or settings.judge, dino=dino or settings.dino, judge=settings.base_model == TOYWORLD
    )
    if not (models.clip or models.dino or models.judge):
        raise UserError(NO_MODELS)
    return models


class MetricsProcess:
    """A process of the trainer that measures, as a context: it holds the models, and takes one subject at a time."""

    def __init__(self, models: MetricModels, settings: BotSettings) -> None:
        self.models, self.log = models, settings.home / LOG
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> "MetricsProcess":
        """Start it; raises SetupError if the models cannot be had. What is on the hub is downloaded."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log_file:
            command = (sys.executable, "-m", "trainer", "--measure")
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=log_file, limit=LINE_MOST_BYTES
            )
        try:
            await self._ask(self.models)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def measure(
        self, subject: Subject, photos: list[Path], prompts: list[str], drawn: list[list[Path]]
    ) -> Figures:
        """The figures of a subject by its photos and what was drawn: each prompt, the class before and after."""
        *of_prompts, before, after = [tuple(str(path.resolve()) for path in paths) for paths in drawn]
        request = MeasureRequest(
            photos=tuple(map(str, photos)),
            prompts=tuple(
                PromptPictures(text=as_metrics_read(prompt, subject), pictures=paths)
                for prompt, paths in zip(prompts, of_prompts, strict=True)
            ),
            class_before=before,
            class_after=after,
        )
        return await self._ask(request)

    async def _ask(self, request: MetricModels | MeasureRequest) -> Figures:
        assert self._process.stdin and self._process.stdout
        # One request at a time: answers have no ids, and come in the order of requests.
        async with self._lock:
            with suppress(ConnectionError):  # it is gone: what it logged says why
                self._process.stdin.write(request.model_dump_json().encode() + b"\n")
                await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        if not line:
            why = last_log_line(self.log) or "it says nothing"
            advice = INSTALL if why.startswith("ModuleNotFoundError") else ""
            raise SetupError(f"Pictures cannot be measured: {why.rstrip('.')}. {self.log} has more.{advice}")
        return Figures.model_validate_json(line)


async def fetched_photos(store: Store, subject: Subject, folder: Path) -> list[Path]:
    """Copy the photos of a subject, as they were prepared for training, into a folder."""
    paths = [folder / Path(photo.key).name for photo in subject.photos]
    for photo, path in zip(subject.photos, paths, strict=True):
        await store.get_file(photo.key, path, photo.sha256)
    return paths
