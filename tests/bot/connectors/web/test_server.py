"""The local web chat as a server: who may talk to it, what it gives away, how it starts and stops."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image
from yarl import URL

from bot.arguments.arguments import TrainArguments
from bot.commands.drafts import Draft
from bot.connectors.web.connector import opened, running, serve
from storage.contract.jobs import job_key
from storage.contract.outcomes import outcome_key
from storage.contract.subjects import Photo, subject_key
from storage.errors import SetupError
from storage.ids import new_id
from storage.objects.folder import FolderStore
from tests.servers.backing import valkey
from tests.support.web_chat import add_pictures, add_subject, settings_of


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with valkey() as url:
        yield url


@pytest.fixture
async def url(tmp_path: Path, redis_url: str) -> AsyncIterator[str]:
    async with opened(settings_of(tmp_path, redis_url), redis_url) as url:
        yield url


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "darkroom.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/events", "/welcome", "/page/chat.js", "/pictures/jobs/1.png", "/nothing"])
async def test_strangers_are_refused(url: str, path: str, headers: dict[str, str]) -> None:
    async with ClientSession() as client, client.get(url + path, headers=headers) as response:
        assert response.status == 403
        assert (await response.text()).endswith(".")
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


async def test_its_own_names_are_welcome(url: str) -> None:
    port = url.rpartition(":")[2]
    async with ClientSession() as client:
        for name in ("127.0.0.1", "localhost", "[::1]"):
            for host in (name, f"{name}:{port}", f"{name}:9000"):  # of a port forward
                async with client.get(url, headers={"Host": host, "Origin": f"http://{host}"}) as response:
                    assert response.status == 200


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("darkroom.example.org", "https://darkroom.example.org", 201),
        ("Darkroom.Example.org:8443", "https://darkroom.example.org:8443", 201),
        ("10.1.2.3:9000", "http://10.1.2.3:9000", 201),
        ("127.0.0.1:8700", "https://darkroom.example.org", 201),  # a proxy that puts its own name for us into Host
        ("rex.example.org", "https://rex.example.org", 201),
        ("10.1.2.3:9001", "http://10.1.2.3:9001", 403),
        ("darkroom.example.org", "https://evil.example", 403),
        ("darkroom.example.org", "https://darkroom.example.org.evil.example", 403),
        ("evil.example", "https://darkroom.example.org", 403),
        ("darkroom.example.org", "null", 403),
    ],
)
async def test_names_that_a_setting_allows_are_welcome(
    tmp_path: Path, redis_url: str, host: str, origin: str, status: int
) -> None:
    settings = settings_of(
        tmp_path, redis_url, DARKROOM_HOSTS="darkroom.example.org, 10.1.2.3:9000, https://rex.example.org/"
    )
    async with opened(settings, redis_url) as url, ClientSession() as client:
        headers = {"Host": host, "Origin": origin}
        async with client.post(f"{url}/messages", data={"line": "/help"}, headers=headers) as response:
            assert response.status == status


async def test_a_demo_finds_the_one_that_runs_and_else_takes_the_next_free_port(
    url: str, tmp_path: Path, redis_url: str
) -> None:
    port = int(url.rpartition(":")[2])
    mine = settings_of(tmp_path / "mine", redis_url, DARKROOM_PORT=port)
    assert await running(mine) is None, "what runs there has another home"
    async with opened(mine, redis_url, ports=20) as taken:
        assert taken.startswith("http://127.0.0.1:") and taken != url
        assert await running(mine) == taken
    assert await running(mine) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "own"}, 201),
    ],
)
async def test_only_the_page_itself_may_send(url: str, headers: dict[str, str], status: int) -> None:
    own = {name: url if value == "own" else value for name, value in headers.items()}
    async with (
        ClientSession() as client,
        client.post(f"{url}/messages", data={"line": "/help"}, headers=own) as response,
    ):
        assert response.status == status


async def test_pictures_of_this_chat_are_served_for_good(url: str, store: FolderStore) -> None:
    subject, job = await add_subject(store), await add_pictures(store, "a dog")
    async with ClientSession() as client:
        about_subject = (subject.samples[0].key, subject.photos[0].key)
        for key in (*about_subject, f"jobs/{job.id}/attempt-1/5.png", await add_draft(store)):
            async with client.get(f"{url}/pictures/{key}") as response:
                assert response.status == 200
                assert response.content_type == "image/png"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert "immutable" in response.headers["Cache-Control"]
                assert (await response.read()).startswith(b"\x89PNG")


async def add_draft(store: FolderStore, **who: str) -> str:
    """Store a question about photos; return the name of its photo."""
    draft, sha256 = new_id(), "c" * 64
    key = f"drafts/{draft}/photos/{sha256}.png"
    photo = Photo(key=key, sha256=sha256, name="IMG_1", side_px=64)
    whose = {"space": "local", "owner": "you", **who}
    kept = Draft(id=draft, arguments=TrainArguments(name="rex", **{"class": "dog"}), photos=(photo,), **whose)
    await store.put(f"drafts/{draft}/draft.json", kept.model_dump_json(by_alias=True).encode())
    await store.put(key, b"\x89PNG")
    return key


async def test_nothing_else_in_the_store_is_served(url: str, store: FolderStore) -> None:
    ours, theirs = await add_subject(store), await add_subject(store, space="discord", owner="ann")
    housemate = await add_subject(store, name="mug", owner="bob")
    job, foreign = await add_pictures(store, "a dog"), await add_pictures(store, "a cat", space="discord")
    await store.put(f"subjects/{ours.id}/weights/{'b' * 64}.safetensors", b"weights")
    keys = [
        job_key(job.id),
        outcome_key(job.id),
        subject_key(ours.id),
        f"subjects/{ours.id}/weights/{'b' * 64}.safetensors",
        theirs.samples[0].key,
        theirs.photos[0].key,
        housemate.photos[0].key,
        f"jobs/{foreign.id}/attempt-1/5.png",
        f"jobs/{job.id}/attempt-1/7.png",
        f"jobs/{job.id}/../{job.id}/attempt-1/5.png",
        f"jobs/{job.id}/attempt-1/%2e%2e/5.png",
        (await add_draft(store)).partition("photos")[0] + "draft.json",
        await add_draft(store, owner="bob"),
        await add_draft(store, space="discord"),
        "../../etc/passwd.png",
        "jobs/5.png",
    ]
    async with ClientSession() as client:
        for key in keys:
            for kind in ("pictures", "thumbnails"):
                async with client.get(URL(f"{url}/{kind}/{key}", encoded=True)) as response:
                    assert response.status == 404, key


async def test_a_deleted_picture_is_gone(url: str, store: FolderStore) -> None:
    job = await add_pictures(store, "a dog")
    address = f"{url}/pictures/jobs/{job.id}/attempt-1/5.png"
    async with ClientSession() as client:
        async with client.get(address) as response:
            assert response.status == 200
        await store.delete_prefix(f"jobs/{job.id}/")
        async with client.get(address) as response:
            assert response.status == 404


async def test_thumbnails_are_small_made_once_and_deleted_with_their_pictures(url: str, store: FolderStore) -> None:
    job, small = await add_pictures(store, "a dog", side_px=600), await add_pictures(store, "a cat")
    async with ClientSession(headers={"Origin": url}) as client:
        for made, side_px, form in ((job, 384, "WEBP"), (small, 64, "PNG"), (job, 384, "WEBP")):
            async with client.get(f"{url}/thumbnails/jobs/{made.id}/attempt-1/5.png") as response:
                with Image.open(io.BytesIO(await response.read())) as picture:
                    assert (picture.size, picture.format) == ((side_px, side_px), form)
                assert "immutable" in response.headers["Cache-Control"]
        assert len(await store.names(f"jobs/{job.id}/thumbnails/")) == 1
        assert not await store.names(f"jobs/{small.id}/thumbnails/")
        await store.put(f"jobs/{small.id}/attempt-1/6.png", b"no picture")
        async with client.get(f"{url}/thumbnails/jobs/{small.id}/attempt-1/6.png") as response:
            assert await response.read() == b"no picture"  # what cannot be made smaller is as it is
        await deleted(client, url, job=job.id, seed="5")
        assert not await store.names(f"jobs/{job.id}/thumbnails/")
        async with client.get(f"{url}/thumbnails/jobs/{job.id}/attempt-1/5.png") as response:
            assert response.status == 404


async def deleted(client: ClientSession, url: str, **what: str) -> None:
    """Delete, and wait until that is said."""
    async with client.post(f"{url}/messages", data={"command": "delete", **what}) as response:
        assert response.status == 201
    async with asyncio.timeout(120):
        while True:
            async with client.get(f"{url}/messages") as response:
                if "Deleted the picture" in await response.text():
                    return
            await asyncio.sleep(0.05)


async def test_an_upload_has_a_limit(tmp_path: Path, redis_url: str) -> None:
    settings = settings_of(tmp_path, redis_url, DARKROOM_PHOTOS_MAX=1, DARKROOM_PHOTO_MAX_BYTES=1024)
    form = FormData({"line": "/dreambooth train rex dog"})
    form.add_field("photos", io.BytesIO(b"x" * 2 * 2**20), filename="big.jpg")
    async with (
        opened(settings, redis_url) as url,
        ClientSession(headers={"Origin": url}) as client,
        client.post(f"{url}/messages", data=form) as response,
    ):
        assert response.status == 413
        assert "the limit is 1 MB" in (await response.json())["error"]


async def test_a_taken_port_is_said_in_a_sentence(url: str, tmp_path: Path, redis_url: str) -> None:
    settings = settings_of(tmp_path, redis_url, DARKROOM_PORT=url.rpartition(":")[2])
    with pytest.raises(SetupError, match=r"Port \d+ is in use by another program. Set DARKROOM_PORT"):
        await serve(settings, redis_url, print)


async def test_it_stops_at_once_though_a_page_is_open(tmp_path: Path, redis_url: str) -> None:
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = settings_of(tmp_path, redis_url)
    server = asyncio.create_task(serve(settings, redis_url, listening.set_result))
    async with ClientSession() as client, client.get(f"{await listening}/events") as stream:
        assert (await stream.content.readline()).startswith(b"retry:")
        server.cancel()
        await asyncio.wait({server}, timeout=30)  # an open page would hold it for a minute, aiohttp's own patience
        assert server.cancelled()
