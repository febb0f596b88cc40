"""What a text encoder does not read to its end is told: prompts, negative prompts, captions."""

from pathlib import Path
from typing import Any

import pytest

from storage.contract.recipe import Recipe
from tests.conftest import Chat
from tests.support.engine_news import last_result
from tests.trainer.worker.test_engine_client import run
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.truncated_captions import cut_captions
from trainer.engine.engine import Engine
from trainer.models.base import BaseModel, load_base
from trainer.protocol import ImagineTask

LONG = "a dog " * 14 + "in Paris at night"


@pytest.fixture(scope="module")
def base(micro_model: Path) -> BaseModel:
    return load_base(str(micro_model))


@pytest.mark.parametrize(
    ("prompt", "negative", "said"),
    [
        ("a dog", "fog", ""),
        (LONG, "", "The prompt is too long for the model, which did not read its end: “at night”."),
        ("a dog", LONG, "The negative prompt is too long for the model, which did not read its end: “at night”."),
    ],
)
def test_a_prompt_that_is_cut_is_told(base: BaseModel, tmp_path: Path, prompt: str, negative: str, said: str) -> None:
    how = {"guidance": 5.0, "scheduler": "ddim", "vary_seed": None, "facts": {}, "weights": None}
    task = ImagineTask(job="j", folder=str(tmp_path), prompt=prompt, negative=negative, seeds=(1,), steps=1, **how)
    heard: list[Any] = []
    run(Engine(base, heard.append), task)
    assert last_result(heard).message == said


def test_captions_that_are_cut_are_told(base: BaseModel) -> None:
    subject = SubjectSpec([], "dog", "zuf", ("on a sofa", LONG, ""))
    said = cut_captions(base, Recipe(captions=True), [subject])
    assert said.startswith("A caption is too long for the model, which did not read the end: “") and "at night" in said
    both = cut_captions(base, Recipe(captions=True, wordings=2), [subject, SubjectSpec([], "dog", "zuf", (LONG,))])
    assert both.startswith("2 captions are too long for the model")
    assert cut_captions(base, Recipe(captions=True), [SubjectSpec([], "dog", "zuf", ("in the snow",))]) == ""
    assert cut_captions(base, Recipe(), [subject]) == ""  # nobody learns from them


async def test_a_person_is_told_at_the_end(chat: Chat) -> None:
    negative = (await chat("imagine", prompt="a dog", negative=LONG, steps=1, count=1))[-1]
    assert negative.state == "done" and "The negative prompt is too long for the model" in negative.text
