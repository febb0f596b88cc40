"""Pictures from photos alone in the engine: drawings, refusals, and the comparison at the end of a training."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.micro_models import write_micro_klein
from tests.support.quick import slow_but
from tests.trainer.dreambooth.test_divergence import task as training
from tests.trainer.worker.test_engine_client import picture, run
from trainer.engine.engine import Engine
from trainer.metrics.embedders import Embedder, ToyworldEmbedder
from trainer.models.base import BaseModel, load_base
from trainer.protocol import TaskResult, TrainResult, TrainTask

LORA: dict[str, Any] = {"method": "lora", "text_learning_rate": 0.0, "steps": 2, "candidates": 1, "sample_steps": 2}


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return load_base(str(write_micro_klein(tmp_path_factory.mktemp("klein"))))


def results(base: BaseModel, *tasks: Any, embedder: Embedder | None = None) -> list[TaskResult]:
    said: list[Any] = []
    run(Engine(base, said.append, embedder=embedder), *tasks)
    by_job = {news.job: news for news in said if isinstance(news, TaskResult)}
    return [by_job[task.job] for task in tasks]


def drawing(folder: Path, job: str, *references: Path, **how: Any) -> Any:
    (folder / job).mkdir()
    return picture(folder / job, job, references=tuple(map(str, references)), scheduler="euler", **how)


def test_photos_decide_what_is_drawn_alone_and_beside_others(
    klein: BaseModel, tmp_path: Path, photos: list[Path]
) -> None:
    tasks = [
        drawing(tmp_path, "plain"),
        drawing(tmp_path, "one", photos[0]),
        drawing(tmp_path, "other", photos[1]),
        drawing(tmp_path, "several", *photos[:3]),
        drawing(tmp_path, "exact", photos[0], exact=True),
    ]
    together = results(klein, *tasks)
    assert [result.state for result in together] == ["done"] * 5, together
    pixels = [Image.open(result.files[0]).tobytes() for result in together]
    assert len({*pixels[:4]}) == 4
    (alone,) = results(klein, tasks[4])
    assert Image.open(alone.files[0]).tobytes() == pixels[4]


def test_more_photos_than_it_takes_and_a_family_that_takes_none_are_refused(
    klein: BaseModel, base: BaseModel, tmp_path: Path, photos: list[Path]
) -> None:
    (many,) = results(klein, drawing(tmp_path, "many", *photos, photos[0]))
    assert (many.state, many.message) == ("failed", "FLUX.2 [klein] draws from 4 photos at most, not from 5.")
    (none,) = results(base, drawing(tmp_path, "none", photos[0]))
    assert none.state == "failed" and "cannot draw from photos alone: a subject has to be learned first" in none.message


def learn(folder: Path, photos: list[Path], **how: Any) -> TrainTask:
    task = training(folder, photos, **{**LORA, "report_card": True, "looking_share": 0.99, **how})
    subject = task.subjects[0].model_copy(update={"references": tuple(map(str, photos[:2]))})
    return task.model_copy(update={"subjects": (subject,)})


@pytest.mark.slow
def test_what_was_learned_is_compared_with_the_first_look(klein: BaseModel, tmp_path: Path, photos: list[Path]) -> None:
    (result,) = results(klein, learn(tmp_path, photos), embedder=ToyworldEmbedder())
    assert isinstance(result, TrainResult) and result.state == "done", result
    taught = result.subjects[0]
    assert taught.first_look.keys() == {"likeness", "obedience"} <= taught.metrics.keys()
    with Image.open(taught.compared) as sheet:
        assert sheet.size == (4 * klein.image_px, 2 * klein.image_px)
        above, below = (sheet.crop((0, y, sheet.width, y + klein.image_px)).tobytes() for y in (0, klein.image_px))
    assert above != below


@pytest.mark.slow
@pytest.mark.parametrize("report_card", slow_but([True, False], True))
def test_without_anybody_who_measures_both_are_drawn_and_where_nobody_wants_a_card_neither(
    klein: BaseModel, tmp_path: Path, photos: list[Path], report_card: bool
) -> None:
    (result,) = results(klein, learn(tmp_path, photos, report_card=report_card))
    assert isinstance(result, TrainResult) and result.state == "done", result
    assert not result.subjects[0].first_look and bool(result.subjects[0].compared) == report_card
