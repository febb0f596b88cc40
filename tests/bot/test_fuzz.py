"""Two thousand mangled things at the front door: each is refused in a sentence or harmless, and leaves nothing."""

import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file

from bot.app import Darkroom
from bot.arguments.arguments import ImagineArguments
from bot.core.messages import Reply, Request
from bot.photos.uploads import Upload
from storage.contract.jobs import job_key
from storage.contract.subjects import Subject, checkpoint_prefix, subject_key
from storage.errors import Damaged, DarkroomError, Newer
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import read_job
from storage.kinds.train import TrainJob
from storage.lifecycle.reconcile import put_back
from storage.objects.folder import FolderStore
from storage.objects.transfers import file_hash
from storage.queue import broker
from storage.settings.bot import BotSettings
from tests.servers.backing import valkey
from tests.support.quick import examples
from tests.support.stores import records
from trainer.dreambooth import checkpoint
from trainer.dreambooth.weights import load_learned
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser
from trainer.worker.cache import Cache
from trainer.worker.checkpoint_store import CheckpointStore

pytestmark = pytest.mark.timeout(480)
# of each kind: 2,000 in `make exhaustive`
PHOTOS, PROMPTS, NAMES, JOBS, RECORDS, WEIGHTS = (max(20, examples(count)) for count in (300, 700, 300, 300, 200, 200))
TEXTS = [
    "", " ", "\x00", "[", "]", "[]", "[V]", "[[V]]", "[../../etc/passwd]", "../..", "rex\n", "\u202ecod", "\ufeff",
    "é" * 500, "a" * 100_000, "${jndi:ldap://x}", "<script>alert(1)</script>", "'; DROP TABLE subjects;--", "%s%n",
    "🐶" * 99, "s3://bucket/key", "NaN", "null", "__import__('os')", "\x1b[31m", "C:\\con", "-1", "1e999", "\u0000V]",
    "𝖗𝖊𝖝", "a]b[c", "\ud7ff",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing here may be a surprise."""
    yield
    assert [record for record in caplog.get_records("call") if record.exc_info] == []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with valkey() as address:
        yield address


@pytest.fixture
async def app(url: str, tmp_path: Path) -> AsyncIterator[Darkroom]:
    """A deployment without workers: what is accepted stays queued."""
    settings = BotSettings(
        DARKROOM_HOME=str(tmp_path),
        DARKROOM_PHOTO_MIN_PX="64",
        DARKROOM_PHOTO_MAX_PIXELS="1000000",
        DARKROOM_REQUESTS_PER_MINUTE="100000",
    )
    darkroom = await Darkroom.open(settings, url)
    yield darkroom
    await darkroom.redis.flushall()
    await darkroom.close()


def picture(kind: str) -> bytes:
    """A small good photo."""
    buffer = io.BytesIO()
    Image.effect_noise((96, 96), 80).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def mangled(data: bytes, chance: Random) -> bytes:
    """Some bytes with some damage: flipped, cut, doubled, overwritten, or all chance."""
    at, to = sorted(chance.randrange(len(data)) for _ in range(2))
    ways: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: data[at:],
        lambda: data[:at] + data[to:],
        lambda: data[:to] + data[at:],
        lambda: data[:at] + chance.randbytes(to - at) + data[to:],
        lambda: data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
        lambda: chance.randbytes(at),
    ]
    return chance.choice(ways)()


def mangled_text(chance: Random) -> str:
    """Text that nobody means well with."""
    return "".join(chance.choice(TEXTS) for _ in range(chance.randint(1, 3)))


def refused(what: str, count: int, of: int) -> None:
    """Say how many of the mangled things were refused: `pytest -rP` shows it."""
    print(f"{what}: {count} of {of} refused, {of - count} accepted")  # noqa: T201


async def said(app: Darkroom, command: str, uploads: tuple[Upload, ...] = (), **arguments: str) -> Reply:
    """The last reply; what is accepted is taken back, so that the store is empty again."""
    request = Request(space="fuzz", user="x", command=command, uploads=uploads, arguments=arguments, confirmed=True)
    last = Reply(text="")
    async for last in app.answer(request):
        if last.job:
            job = await app.dispatch.job(last.job)
            await app.dispatch.cancel(job)
            await app.store.delete_prefix(f"jobs/{job.id}/")
            break
    assert last.fault != "ours", (arguments, last.text)
    assert last.text.strip() and "Traceback" not in last.text and len(last.text) < 4000, last.text
    assert await records(app.store) == [], (arguments, last.text)
    return last


async def test_photos(app: Darkroom) -> None:
    chance, count = Random(1), 0
    good = [picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]
    for number in range(PHOTOS):
        upload = Upload(name=mangled_text(chance)[:300], data=mangled(chance.choice(good), chance))
        reply = await said(app, "dreambooth train", (upload,), name=f"n{number}", **{"class": "dog"})
        count += reply.fault == "input"
    refused("photos", count, PHOTOS)
    assert count > PHOTOS * 0.6  # a bit that flips in the middle of the pixels is not noticed


async def test_prompts(app: Darkroom) -> None:
    chance, count = Random(2), 0
    for _ in range(PROMPTS):
        some = chance.sample(["seed", "count", "guidance", "size"], k=chance.choice([0, 0, 1]))
        options = {name: mangled_text(chance) for name in some}
        reply = await said(app, "imagine", prompt=mangled_text(chance), **options)
        count += reply.fault == "input"
    refused("prompts", count, PROMPTS)


async def test_names(app: Darkroom) -> None:
    chance, count = Random(3), 0
    photo = Upload(name="good.png", data=picture("PNG"))
    for _ in range(NAMES):
        given = {"name": mangled_text(chance), "class": "dog"}
        if chance.random() < 0.5:
            given = {"name": "rex", "class": mangled_text(chance)}
        reply = await said(app, "dreambooth train", (photo,), **given)
        count += reply.fault == "input"
    refused("names and classes", count, NAMES)


def job_bodies(chance: Random) -> Iterator[tuple[str, bytes]]:
    """Jobs whose bodies are damaged, or say what no job can."""
    train = TrainJob(space="fuzz", owner="x", subjects=(new_id(),))
    imagine = ImagineJob(space="fuzz", owner="x", prompt="a dog", model_prompt="a dog", seed=1)
    for _ in range(JOBS):
        job = chance.choice([train, imagine]).model_copy(update={"id": new_id()})
        fields = json.loads(job.model_dump_json())
        fields[chance.choice([*fields, "kind", "new"])] = chance.choice(
            [None, [], {}, "x", -1, 1e99, mangled_text(chance)]
        )
        whole = json.dumps(fields).encode()
        yield job.id, chance.choice([whole, mangled(job.model_dump_json().encode(), chance)])


async def test_job_bodies(app: Darkroom) -> None:
    count = 0
    for job, body in job_bodies(Random(4)):
        try:
            read_job(body)
        except Newer:  # by chance a word that a newer version may know
            continue
        except Damaged:
            count += 1
            await app.store.put(job_key(job), body)
    refused("job bodies", count, JOBS)
    assert count > JOBS / 2
    assert await put_back(app.store, app.redis) == []
    assert await app.redis.zcard(broker.queue_name("train")) == await app.redis.zcard(broker.queue_name("imagine")) == 0
    assert await app.dispatch.jobs("fuzz") == []


@pytest.mark.parametrize(
    "tampered",
    [{"count": 17}, {"count": 0}, {"steps": 10**6}, {"steps": 0}, {"size_px": 2**20}, {"size_px": 36},
     {"width_px": 2**20, "height_px": 64}, {"width_px": 64, "height_px": 36}, {"guidance": 1e9}, {"seed": -1}],
)  # fmt: skip
def test_a_job_asks_for_no_more_than_people_may(tampered: dict[str, float]) -> None:
    job = ImagineJob(space="fuzz", owner="x", prompt="a dog", model_prompt="a dog", seed=1)
    with pytest.raises(Damaged):
        read_job(json.dumps({**json.loads(job.model_dump_json()), **tampered}).encode())


def test_the_limits_of_a_job_are_those_of_its_command() -> None:
    for name in ("count", "steps", "guidance"):
        assert ImagineJob.model_fields[name].metadata == ImagineArguments.model_fields[name].metadata


async def test_records(app: Darkroom) -> None:
    chance = Random(5)
    subject = Subject(space="fuzz", owner="x", name="rex", noun="dog", base_model="toyworld", state="ready")
    for _ in range(RECORDS):
        await app.subjects.add(subject)
        await app.store.put(subject_key(subject.id), mangled(subject.model_dump_json().encode(), chance))
        for command, arguments in [("dreambooth list", {}), ("imagine", {"prompt": "a [rex] dog"})]:
            request = Request(space="fuzz", user="x", command=command, arguments=arguments)
            async for reply in app.answer(request):
                assert reply.text and "{" not in reply.text
                assert not reply.job or reply.state == "working"
                if reply.job:
                    break
        await app.store.delete_prefix("")


async def test_weights_and_checkpoints(base: BaseModel, tmp_path: Path) -> None:
    chance, into, store = Random(6), base.denoiser.copy(), FolderStore(tmp_path / "store")
    path, cache = tmp_path / "w.safetensors", Cache(store, tmp_path / "cache")
    some = {name: value.half() for name, value in list(base.denoiser.state_dict().items())[:6]}
    save_file(some, path, {"of": "this"})
    whole, sha256 = path.read_bytes(), file_hash(path)
    header = int.from_bytes(whole[:8], "little") + 8
    job = TrainJob(space="fuzz", owner="x", subjects=(new_id(),))
    begun = f"{checkpoint_prefix(job.subjects[0], job.id)}000001/{sha256}.safetensors"
    by_hash = by_loader = 0
    for number in range(WEIGHTS):
        torn = mangled(whole[: header + 64], chance) + whole[header + 64 :]
        if torn == whole:  # by chance
            continue
        path.write_bytes(torn)
        for key in ("weights", begun):
            await store.put(key, torn)
        with pytest.raises(Damaged):
            await cache.path("weights", sha256)
        assert await CheckpointStore(store, job).newest(tmp_path) is None
        by_hash += 1
        by_loader += not _loads(path, base, into if number % 2 else None)
    refused("weights and checkpoints", by_hash, by_hash)
    refused("the same by who reads them, had nobody known the hash", by_loader, by_hash)
    assert by_hash > WEIGHTS * 0.95 and by_loader > WEIGHTS * 0.5


def _loads(path: Path, base: BaseModel, into: Denoiser | None) -> bool:
    """Whether a file is taken: as weights, or as a checkpoint of the training that it says it is of."""
    try:
        if into is None:
            return checkpoint.read(path, {"of": "this"}) is not None
        load_learned(path, into, base.denoiser)
    except (ValueError, SafetensorError, DarkroomError):
        return False
    return True
