"""Recipes: presets and changes from the chat to what a worker trains with, and the sentences for what is wrong."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.app import Darkroom
from bot.arguments import recipe_options
from bot.arguments.arguments import TrainArguments
from bot.arguments.parser import parse
from bot.cli.recipe_table import rows
from storage.contract.recipe import Recipe
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.objects.folder import FolderStore
from tests.conftest import Chat, Stack, photos_of_a_character
from tests.support.stores import records
from tests.support.terminal import HERE, darkrooms, environment

pytestmark = pytest.mark.timeout(360)
WRONG = {
    "rank": "Write changes of the recipe as NAME=VALUE, like batch=2 rank=32; not rank.",
    "=8": "Write changes of the recipe as NAME=VALUE",
    "rank=0": "Rank must be at least 1, not 0.",
    "rank=x steps=many": "Rank must be a whole number, not x. Steps must be a whole number, not many.",
    "learning_rate=0": "Learning_rate must be more than 0, not 0.",
    "gradient_checkpointing=maybe": "must be true or false, not maybe",
    "schedule=steep": "Schedule must be 'constant', 'cosine' or 'linear', not steep.",
    "optimizer.rang=1": "A recipe has no optimizer.rang. Did you mean rank?",
    "learning_rat=1e-6": "A recipe has no learning_rat. Did you mean learning_rate?",
    "🐶=x": "A recipe has no 🐶. docs/recipes.md lists what it has.",
}


@pytest.fixture
def presets(stack: Stack) -> Path:
    """The folder of presets of the deployment."""
    folder = stack.settings.recipes_folder
    folder.mkdir(exist_ok=True)
    (folder / "gentle.toml").write_text('description = "Few steps."\nsteps = 3\nmethod = "lora"\nrank = 2\n')
    (folder / "broken.toml").write_text("steps = 0\n")
    return folder


async def test_a_preset_and_changes_reach_the_training_and_retraining(chat: Chat, app: Darkroom, presets: Path) -> None:
    how = {"recipe": "gentle", "set": "rank=4, class_images=3"}
    trained = (await chat("dreambooth train", photos_of_a_character(3), name="rex", noun="dog", **how))[-1]
    assert trained.state == "done", trained.text
    rex = await app.subjects.find(chat.space, "rex")
    assert rex and rex.method == "lora"
    kept = {name: rex.recipe[name] for name in ("method", "steps", "rank", "class_images")}
    assert kept == {"method": "lora", "steps": 3, "rank": 4, "class_images": 3}
    assert "rank 4" in (await chat("dreambooth show", name="rex"))[-1].facts["recipe"]

    assert (await chat("dreambooth retrain", name="rex", steps=2, set="rank=1"))[-1].state == "done"
    rex = await app.subjects.find(chat.space, "rex")
    assert rex and {name: rex.recipe[name] for name in kept} == {**kept, "steps": 2, "rank": 1}
    assert (await chat("dreambooth retrain", name="rex", set="method=full"))[-1].state == "done"
    rex = await app.subjects.find(chat.space, "rex")
    assert rex and (rex.method, rex.recipe["method"], rex.recipe["steps"]) == ("full", "full", 2)


@pytest.mark.parametrize("typed", WRONG)
async def test_what_is_wrong_is_told_and_nothing_is_kept(chat: Chat, app: Darkroom, typed: str) -> None:
    before = await records(app.store)
    said = (await chat("dreambooth train", photos_of_a_character(1), name="rex", noun="dog", set=typed))[-1]
    assert said.state == "failed" and WRONG[typed] in said.text
    assert await records(app.store) == before


async def test_presets_that_are_not_there_or_do_not_work(chat: Chat, presets: Path) -> None:
    for preset, sentence in {
        "fierce": "There is no recipe called fierce. There are broken, gentle.",
        "../gentle": "There is no recipe called ../gentle.",
        "broken": "The recipe broken does not work: Steps must be at least 1, not 0.",
    }.items():
        said = (await chat("dreambooth train", photos_of_a_character(1), name="rex", noun="dog", recipe=preset))[-1]
        assert said.state == "failed" and sentence in said.text


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(typed: str) -> None:
    try:
        found = recipe_options.checked(recipe_options.parsed(typed))
    except UserError as error:
        assert str(error).endswith((".", "?"))
    else:
        assert set(found) <= set(Recipe.model_fields)


@given(st.fixed_dictionaries({}, optional={"rank": st.integers(1, 256), "learning_rate": st.floats(1e-9, 1e-2)}))
def test_what_is_within_the_limits_is_taken(changes: dict[str, float]) -> None:
    assert (
        recipe_options.checked(recipe_options.parsed(" ".join(f"{name}={value}" for name, value in changes.items())))
        == changes
    )


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("optimizer.lr=2e-6", "learning_rate"),
        ("lr=2e-6", "learning_rate"),
        ("unet.learning_rate=2e-6", "learning_rate"),
        ("text_encoder.lr=2e-6", "text_learning_rate"),
        ("text.learning_rate=2e-6", "text_learning_rate"),
        ("lora.rank=4", "rank"),
        ("ema.decay=0.9", "ema_decay"),
        ("optimizer.lr_warmup_steps=5", "warmup_steps"),
        ("train_batch_size=2", "batch"),
        ("optimizer.type=adamw8bit", "optimizer"),
    ],
)
def test_dotted_and_usual_names_are_taken_for_what_they_mean(typed: str, name: str) -> None:
    found = recipe_options.checked(recipe_options.parsed(typed))
    assert list(found) == [name] and str(found[name]) in (typed.partition("=")[2], "2e-06")


def test_every_alias_names_a_number() -> None:
    assert set(recipe_options.ALIASES.values()) <= set(Recipe.model_fields) and not set(recipe_options.ALIASES) & set(
        Recipe.model_fields
    )


def test_changes_given_one_after_another_all_count() -> None:
    line = "rex dog --set rank=4 --seed 1 --set steps=100"
    assert parse(line, TrainArguments) == {"name": "rex", "class": "dog", "set": "rank=4 steps=100", "seed": "1"}


@pytest.mark.slow
async def test_the_recipe_of_a_subject_is_told(tmp_path: Path) -> None:
    learned = Recipe(rank=7).model_dump()
    rex = Subject(space="local", owner="you", name="rex", noun="dog", base_model="toyworld", recipe=learned)
    await Subjects(FolderStore(tmp_path / "store")).add(rex)
    commands = [["recipe", "rex", "--json"], ["recipe", "rex"], ["recipe", "rex", "--set", "rank=1"], ["recipe", "tom"]]
    told, read, refused, unknown = darkrooms(commands, env=environment(tmp_path), cwd=HERE)
    assert told.result["recipe"] == learned
    assert "How rex was learned, from toyworld." in read.out and "rank                    7" in read.out
    assert (refused.code, unknown.code) == (2, 2)
    assert "leave out --method" in refused.err and "There is no subject called tom. Known here: rex." in unknown.err


@pytest.mark.slow
def test_darkroom_recipe_says_where_each_number_comes_from(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "gentle.toml").write_text("rank = 4\n")
    command = [sys.executable, "-m", "bot.cli.main", "recipe", "--recipe", "gentle", "--json"]
    command += ["--set", "optimizer.lr=1e-5", "--set", "steps=100 batch=2"]
    said = subprocess.run(command, env=environment(tmp_path), cwd=HERE, capture_output=True, text=True, timeout=400)
    told = json.loads(said.stdout.splitlines()[-1])
    origin = {row["name"]: row["from"] for row in told["rows"]}
    assert told["recipe"]["rank"] == 4 and told["recipe"]["method"] == "full" and told["presets"] == ["gentle"]
    assert [told["recipe"][name] for name in ("learning_rate", "steps", "batch")] == [1e-5, 100, 2]
    assert (origin["method"], origin["accumulation"]) == ("as suits the base model", "usual for Stable Diffusion 1.x")
    assert (origin["rank"], origin["wordings"], origin["optimizer"]) == ("as asked", "as suits the base model", "usual")


def test_the_page_tells_of_every_number_and_its_example_works() -> None:
    page = (HERE / "docs" / "recipes.md").read_text()
    assert all(row in page for row in rows())
    example = tomllib.loads(page.split("```toml")[1].split("```")[0])
    assert recipe_options.checked({k: v for k, v in example.items() if k != recipe_options.DESCRIPTION})
