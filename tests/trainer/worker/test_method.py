"""Full or LoRA where nobody asks: by base model and memory, the same for all attempts, and in the record."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from bot.app import Darkroom
from storage.contract.jobs import job_key
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Photo, Subject
from storage.kinds.stored import read_job
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.kinds.train_end import TRAIN
from storage.objects.store import Store
from storage.settings.bot import BotSettings
from storage.settings.trainer import TrainerSettings
from tests.conftest import Chat, photos_of_a_character
from tests.servers.backing import valkey
from tests.support.micro_models import RECIPE, write_model_of_channels
from tests.trainer.worker.test_resume import Training, Worker
from tests.trainer.worker.test_resume import start as start  # fixtures
from tests.trainer.worker.test_resume import started as started
from trainer.dreambooth.weights import ADAPTERS
from trainer.kinds.train_task import TrainTaskBuilder
from trainer.memory.device import Device
from trainer.memory.estimate import MemoryEstimate
from trainer.memory.fit import memory_plans, method_here
from trainer.models.default_recipe import recipe_for
from trainer.models.meta_model import MetaModel
from trainer.protocol import Hello, TrainTask
from trainer.worker.cache import Cache

pytestmark = pytest.mark.timeout(480)
BARE = {name: value for name, value in RECIPE.items() if name not in ("method", "learning_rate", "text_learning_rate")}


def tell(folder: Path, **told: Any) -> Path:
    """Say in the file beside a base model what suits it."""
    folder.mkdir(exist_ok=True)
    (folder / "darkroom.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of which a step takes hundreds of megabytes, and which does not say what suits it."""
    folder = write_model_of_channels(tmp_path_factory.mktemp("larger"), 64, 128)
    (folder / "darkroom.json").unlink()
    return folder


@pytest.mark.slow
def test_it_is_full_wherever_there_is_a_way_to_give_that_and_else_lora(
    larger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        MemoryEstimate, "training_bytes", cache(MemoryEstimate.training_bytes)
    )  # to rehearse a step takes a second
    needs = MemoryEstimate(MetaModel.of(larger, torch.float32))
    settings = TrainerSettings(DARKROOM_GPUS_PER_TRAINING=8)

    def found(memory_bytes: int, **changes: Any) -> str:
        here = Device("a GPU", memory_bytes, torch.device("cpu"))
        return method_here(larger, lambda: needs, here, settings.model_copy(update=changes))[0]

    whole, divided, gentle = [
        way.takes_bytes
        for way in memory_plans(needs, Device("", 0, torch.device("cpu")), recipe_for(larger, method="full"), settings)
    ]
    assert whole > divided > gentle
    assert [found(each) for each in (whole, gentle, gentle - 1)] == ["full", "full", "lora"]
    assert found(gentle, sharding="none") == "lora"


def test_a_base_model_that_says_so_and_sdxl_decide_without_the_memory(micro_sdxl: Path, tmp_path: Path) -> None:
    def unasked() -> MemoryEstimate:
        raise AssertionError

    here = Device("a large GPU", 10**12, torch.device("cpu"))
    for method in ("lora", "full"):
        folder = tell(tmp_path / method, recipe={"method": method})
        assert method_here(folder, unasked, here, TrainerSettings()) == (method, "as suits the base model")
    bare = shutil.copytree(micro_sdxl, tmp_path / "sdxl")
    (bare / "darkroom.json").unlink()
    assert method_here(bare, unasked, here, TrainerSettings()) == ("lora", "usual for Stable Diffusion XL")
    how = recipe_for(bare)
    assert (how.method, how.learning_rate, how.text_learning_rate, how.steps) == ("lora", 1e-4, 0, 500)


@pytest.mark.parametrize(
    ("told", "method", "rates"),
    [
        ({}, "full", (2e-6, 2e-6)),
        ({}, "lora", (1e-4, 5e-5)),
        ({"recipe": {"method": "lora"}}, None, (1e-4, 5e-5)),
        ({"recipe": {"method": "lora", "learning_rate": 3e-4}}, None, (3e-4, 5e-5)),
        ({"recipe": {"method": "lora", "learning_rate": 3e-4}}, "full", (2e-6, 2e-6)),
        ({"recipe": {"learning_rate": 1e-6}}, None, (1e-6, 2e-6)),
        ({"recipe": {"learning_rate": 1e-6}}, "lora", (1e-4, 5e-5)),
        ({"recipe": {"learning_rate": 1e-6}, "lora": {"learning_rate": 1e-3}}, "lora", (1e-3, 5e-5)),
    ],
)
def test_rates_are_those_of_the_method_whoever_chose_it(
    tmp_path: Path, told: dict[str, Any], method: str | None, rates: tuple[float, float]
) -> None:
    how = recipe_for(tell(tmp_path / "model", **told), method=method)
    assert (how.learning_rate, how.text_learning_rate) == rates


@pytest.fixture
async def job(store: Store) -> TrainJob:
    """A training for which nobody asked for a method, as it was accepted."""
    data = photos_of_a_character(1)[0].data
    photo = Photo(key="subjects/photo", sha256=hashlib.sha256(data).hexdigest(), name="rex.png", side_px=128)
    subject = Subject(space="here", owner="you", name="rex", noun="dog", base_model="micro", photos=(photo,))
    await store.put(photo.key, data)
    await Subjects(store).add(subject)
    job = TrainJob(space="here", owner="you", subjects=(subject.id,))
    await store.put_new(job_key(job.id), job.model_dump_json().encode())
    return job


@pytest.fixture
def method_taken(store: Store, micro_sd1: Path, tmp_path: Path) -> Callable[..., Any]:
    """Begin an attempt on a machine that would take some method; tell which it takes."""
    tasks = TrainTaskBuilder(store, Cache(store, tmp_path / "cache"), 30)

    async def taken(job: TrainJob, here: Any) -> str:
        hello = Hello(base_sha256="0", folder=str(micro_sd1), image_px=64, device="cpu", method=here)
        task = await tasks.build(job, hello, tmp_path, lambda *_: None, ExitStack())
        assert isinstance(task, TrainTask)
        return str(task.recipe["method"])

    return taken


async def test_every_attempt_has_the_method_of_the_first(
    job: TrainJob, store: Store, method_taken: Callable[..., Any]
) -> None:
    assert len(set(await asyncio.gather(*(method_taken(job, here) for here in ("full", "lora"))))) == 1
    decided = read_job((await store.get(job_key(job.id))).data)
    assert isinstance(decided, TrainJob) and decided == job.model_copy(update={"method": decided.method})
    for attempt in (job, decided):  # as it was read before, and after
        assert [await method_taken(attempt, here) for here in ("full", "lora")] == [decided.method] * 2


async def test_what_was_asked_for_is_taken_on_any_machine(
    job: TrainJob, store: Store, method_taken: Callable[..., Any]
) -> None:
    for method, here in (("full", "lora"), ("lora", "full")):
        assert await method_taken(job.model_copy(update={"method": method}), here) == method


async def test_the_record_says_what_was_learned(job: TrainJob, store: Store) -> None:
    learned = TrainedSubject(weights_key="w", weights_sha256="w", identifier="zuf", recipe={"method": "lora"})
    await TRAIN.note_end(store, job, TrainOutcome(job=job.id, state="done", message="", subjects=(learned,)))
    assert (await Subjects(store).get(job.subjects[0])).method == "lora"


@pytest.fixture(scope="module")
def env(micro_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("deployment")
    shutil.copytree(micro_model, folder / "model")
    with valkey() as url:
        yield {
            "DARKROOM_HOME": str(folder / "home"),
            "REDIS_URL": url,
            "DARKROOM_BASE_MODEL": str(folder / "model"),
            "DARKROOM_PHOTO_MIN_PX": "64",
            "DARKROOM_LEASE_S": "2",
            "DARKROOM_CHECKPOINT_S": "0",
        }


@pytest.fixture
async def app(env: dict[str, str]) -> AsyncIterator[Darkroom]:
    darkroom = await Darkroom.open(BotSettings(**env), env["REDIS_URL"])
    yield darkroom
    await darkroom.close()


@pytest.mark.exhaustive
async def test_who_goes_on_elsewhere_keeps_the_method_and_so_does_retraining(
    env: dict[str, str], chat: Chat, app: Darkroom, start: Callable[[], Worker], tmp_path: Path
) -> None:
    """Workers that take different methods: here by the file beside the base model, elsewhere by memory."""
    model = Path(env["DARKROOM_BASE_MODEL"])
    tell(model, recipe={**BARE, "method": "lora"})
    first = await asyncio.to_thread(start)
    training = Training(app, chat, "dreambooth train", name="rex", noun="dog", steps=120)
    await training.reaches(20)
    first.terminate()
    assert await asyncio.to_thread(first.wait, 30) == 0

    tell(model, recipe={**BARE, "method": "full"})
    second = await asyncio.to_thread(start)
    assert "lora" in (await training.ends()).facts["method"]
    rex = await app.subjects.find(chat.space, "rex")
    assert rex and rex.weights_key and (rex.method, rex.recipe["method"]) == ("lora", "lora")
    await app.store.get_file(rex.weights_key, tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert file.metadata() == ADAPTERS
    assert (await chat("dreambooth retrain", name="rex", steps=2))[-1].facts["method"] == "lora"

    *_, trained = await chat("dreambooth train", photos_of_a_character(1), name="tom", noun="dog", steps=2)
    tom = await app.subjects.find(chat.space, "tom")
    assert second.poll() is None and tom and (tom.method, trained.facts["method"]) == ("full", "full")
