"""Have a process of the trainer measure pictures: the bot itself is without PyTorch."""

import asyncio
from pathlib import Path

from bot.evaluation_plan import as_meters_read
from bot.trainer_process import INSTALL, answer_of
from storage.errors import SetupError, UserError
from storage.evaluation import Drawn, Figures, MeasureRequest, MetricModels
from storage.files import Store
from storage.settings import Settings
from storage.subjects import Subject

WITHIN_S = 3600  # one subject: seconds to minutes, and the first time a download
NO_MODELS = (
    "Nothing here can measure pictures. Name a CLIP model with --clip or DARKROOM_JUDGE, a DINO model with --dino or "
    "DARKROOM_DINO, or both; docs/evaluation.md says which the paper has."
)


def metric_models(settings: Settings, clip: str | None, dino: str | None) -> MetricModels:
    """Who is to measure, by options and settings; raises UserError if that is nobody."""
    models = MetricModels(clip=clip or settings.judge, dino=dino or settings.dino, judge=settings.toyworld)
    if not (models.clip or models.dino or models.judge):
        raise UserError(NO_MODELS)
    return models


class Measuring:
    """Measures one subject at a time: each takes all cores."""

    def __init__(self, models: MetricModels, store: Store) -> None:
        self.models, self.store = models, store
        self._lock = asyncio.Lock()

    async def check(self) -> None:
        """Raise SetupError if the models cannot be had; what is on the hub is downloaded."""
        await self._ask(MeasureRequest(models=self.models))

    async def of(self, subject: Subject, photos: list[Path], prompts: list[str], drawn: list[list[Path]]) -> Figures:
        """The figures of a subject by its photos and what was drawn: each prompt, the class before and after."""
        *of_prompts, before, after = [tuple(str(path.resolve()) for path in paths) for paths in drawn]
        request = MeasureRequest(
            models=self.models,
            photos=tuple(map(str, photos)),
            prompts=tuple(
                Drawn(text=as_meters_read(prompt, subject), pictures=paths)
                for prompt, paths in zip(prompts, of_prompts, strict=True)
            ),
            class_before=before,
            class_after=after,
        )
        return await self._ask(request)

    async def _ask(self, request: MeasureRequest) -> Figures:
        async with self._lock:
            try:
                said = await answer_of("--measure", WITHIN_S, request.model_dump_json().encode())
            except TimeoutError:
                raise SetupError(f"Measuring took longer than {WITHIN_S} s.") from None
            except SetupError as error:
                advice = INSTALL if "ModuleNotFoundError" in str(error) else ""
                raise SetupError(f"Pictures cannot be measured: {error}.{advice}".replace("..", ".")) from None
        return Figures.model_validate(said)


async def fetched_photos(store: Store, subject: Subject, folder: Path) -> list[Path]:
    """Copy the photos of a subject, as they were prepared for training, into a folder."""
    paths = [folder / Path(photo.key).name for photo in subject.photos]
    for photo, path in zip(subject.photos, paths, strict=True):
        await store.get_file(photo.key, path, photo.sha256)
    return paths
