"""The metrics of an evaluation: each is what the paper says, counted once more as plainly as can be."""

import itertools
from pathlib import Path
from random import Random
from statistics import mean

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor, ViTImageProcessor, ViTModel

from bot.experiments.evaluation_report import table
from research.toyworld.scenes import character, draw_scene
from storage.contract.evaluation import Figures, MeasureRequest, MetricModels, PromptPictures
from storage.errors import SetupError
from tests.support.micro_models import write_micro_clip, write_micro_dino
from trainer.metrics.eval_embedders import open_eval_embedders
from trainer.metrics.server import measure
from trainer.toyworld.judge import words_of
from trainer.toyworld.words import Scene

TEXTS = ("a dog in Paris", "a dog wearing a red hat " * 30)  # the second is longer than CLIP reads


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_micro_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_micro_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> MeasureRequest:
    folder, numbers = tmp_path_factory.mktemp("pictures"), itertools.count()

    def pictures(count: int) -> tuple[str, ...]:
        return tuple(drawn(folder, next(numbers)) for _ in range(count))

    return MeasureRequest(
        photos=pictures(3),
        prompts=tuple(
            PromptPictures(text=text, pictures=pictures(18)) for text in TEXTS
        ),  # more than are looked at together
        class_before=pictures(4),
        class_after=pictures(4),
    )


def drawn(folder: Path, k: int) -> str:
    path = folder / f"{k}.png"
    character(k, "dog").photo(Random(k), size_px=64 + k % 3).save(path)
    return str(path)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def of_pairs(one: list[Tensor], other: list[Tensor]) -> float:
    return mean(cosine(a, b) for a in one for b in other)


def unlike(each: list[Tensor]) -> float:
    return mean(1 - cosine(a, b) for a, b in itertools.combinations(each, 2))


@torch.no_grad()
def test_each_is_what_the_paper_says(request_: MeasureRequest, clip: Path, dino: Path) -> None:
    vit, prepare = ViTModel.from_pretrained(dino).eval(), ViTImageProcessor.from_pretrained(dino)
    both, process = CLIPModel.from_pretrained(clip).eval(), CLIPProcessor.from_pretrained(clip)

    def by_dino(paths: tuple[str, ...]) -> list[Tensor]:
        given = [prepare(images=Image.open(path).convert("RGB"), return_tensors="pt") for path in paths]
        return [vit(**each).last_hidden_state[0, 0] for each in given]

    def by_clip(paths: tuple[str, ...]) -> list[Tensor]:
        given = [process(images=Image.open(path).convert("RGB"), return_tensors="pt") for path in paths]
        return [both.get_image_features(**each).pooler_output[0] for each in given]

    def words(text: str) -> Tensor:
        given = process(text=[text], truncation=True, return_tensors="pt")
        return both.get_text_features(**given).pooler_output[0]

    photos_dino, photos_clip = by_dino(request_.photos), by_clip(request_.photos)
    expected = [
        {
            "dino": of_pairs(by_dino(each.pictures), photos_dino),
            "clip_i": of_pairs(by_clip(each.pictures), photos_clip),
            "clip_t": of_pairs(by_clip(each.pictures), [words(each.text)]),
            "div": unlike(by_dino(each.pictures)),
        }
        for each in request_.prompts
    ]
    of_prior = {
        "pres": of_pairs(by_dino(request_.class_after), photos_dino),
        "pres_before": of_pairs(by_dino(request_.class_before), photos_dino),
        "div_class": unlike(by_dino(request_.class_after)),
        "div_class_before": unlike(by_dino(request_.class_before)),
    }
    figures = measure(open_eval_embedders(MetricModels(clip=str(clip), dino=str(dino))), request_)
    for told, wanted in zip(figures.prompts, expected, strict=True):
        assert told == pytest.approx(wanted, abs=1e-4)
    wanted = {name: mean(each[name] for each in expected) for name in expected[0]} | of_prior
    assert figures.mean == pytest.approx(wanted, abs=1e-4)
    photos = {"dino": 1 - unlike(photos_dino), "clip_i": 1 - unlike(photos_clip)}
    assert figures.photos == pytest.approx(photos, abs=1e-4) and figures.prior_by == "dino"
    assert len({round(value, 3) for value in wanted.values()}) > 5  # such models tell pictures apart


def test_the_judge_reads_what_the_prompt_says(tmp_path: Path) -> None:
    places, rng = ("in Paris", "in Paris", "on the moon", "in the snow"), Random(2)
    paths = []
    for k, place in enumerate(places):
        draw_scene(Scene("dog", "blue", place), rng).save(tmp_path / f"{k}.png")
        paths.append(str(tmp_path / f"{k}.png"))
    prompts = tuple(
        PromptPictures(text=text, pictures=tuple(paths)) for text in ("a blue dog in Paris", "a red dog", "an old one")
    )
    before, after = tuple(paths), (paths[0],)
    request = MeasureRequest(photos=(paths[0],), prompts=prompts, class_before=before, class_after=after)
    figures = measure(open_eval_embedders(MetricModels(judge=True)), request)
    assert [each.get("judge_t") for each in figures.prompts] == [
        pytest.approx((3 + 3 + 2 + 2) / 12, abs=1e-4),
        0.5,
        None,
    ]
    assert figures.mean["pres"] == pytest.approx(1, abs=1e-4) and "div_class" not in figures.mean
    assert figures.photos == {} and figures.prior_by == "judge"  # of one photo and one picture there are no pairs


def test_words_that_a_judge_can_see() -> None:
    assert words_of("A purple dog wearing a red hat, on the beach") == {
        "noun": "dog", "colour": "purple", "place": "on the beach", "accessory": "a red hat"
    }  # fmt: skip
    assert words_of("a unicorn in the snowstorm") == {}


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_what_is_no_such_model_is_refused_by_name(kind: str, clip: Path, dino: Path, tmp_path: Path) -> None:
    other = {"clip": dino, "dino": clip}[kind]
    for wrong in (tmp_path, other):
        with pytest.raises(SetupError, match=f"{wrong} cannot be read as a {kind.upper()} model"):
            open_eval_embedders(MetricModels(**{kind: str(wrong)}))


def test_the_table_has_the_papers_figures_where_they_compare() -> None:
    by_dino = Figures(mean={"dino": 0.6, "pres": 0.4}, photos={"dino": 0.7}, prior_by="dino")
    told = table({"rex": by_dino, "max": by_dino.model_copy(update={"mean": {"dino": 0.7}})}, {"tom": "It failed."})
    assert "|  | DINO | PRES |" in told and "| **mean** | 0.650 | 0.400 |" in told and "| tom | It failed. |" in told
    assert "| the paper, Stable Diffusion | 0.668 |  |" in told and "0.493" in told
    told = table({"rex": Figures(mean={"judge_i": 0.5}, prior_by="judge")}, {})
    assert "paper, Stable" not in told and "0.493" not in told and "Toyworld's judge" in told
