"""What chats share below their messages: buttons as texts, files from their hosts, who leads, filled forms."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import wait_none

from bot.commands import button_ids
from bot.commands.prefill import filled_form
from bot.commands.registry import COMMANDS
from bot.connectors.slack.render import blocks
from bot.core.messages import Button, Reply, Request
from bot.delivery import leader_election
from bot.kinds.subject_buttons import forget_button
from bot.photos import fetch
from bot.photos.fetch import FileHosts, fetch_file
from bot.photos.uploads import Upload
from storage.contract.outcomes import Picture
from storage.contract.recipe import Recipe
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.ids import new_id
from storage.lifecycle.erasure import erase_subject
from storage.lifecycle.finalize import delete_job
from storage.objects.folder import FolderStore
from storage.queue import broker
from tests.conftest import Chat
from tests.servers.backing import valkey

pytestmark = pytest.mark.timeout(300)


@settings(deadline=None)  # a store takes its time on a busy machine
@given(
    command=st.sampled_from(sorted(COMMANDS)),
    arguments=st.dictionaries(st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=200), max_size=4),
    form=st.booleans(),
)
async def test_a_button_survives_as_a_short_text(
    tmp_path_factory: pytest.TempPathFactory, command: str, arguments: dict[str, str], form: bool
) -> None:
    store = FolderStore(tmp_path_factory.getbasetemp() / "buttons")
    text = await button_ids.write(store, Button(label="x", command=command, arguments=arguments, form=form))
    assert len(text) <= 100
    again = await button_ids.read(store, text)
    assert again and (again.command, again.arguments, again.form) == (command, arguments, form)


@pytest.mark.parametrize("text", ["", "nonsense?a=1", "#0000", "+", "custom:7"])
async def test_what_is_no_button_of_ours_is_none(tmp_path: Path, text: str) -> None:
    assert await button_ids.read(FolderStore(tmp_path), text) is None


async def test_a_long_button_goes_with_its_subject_or_job(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    subject = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="-")
    await Subjects(store).add(subject)
    for long in (
        forget_button(subject),
        Button(label="x", command="choose", arguments={"job": new_id(), "step": "9"}, confirm="Sure? " * 20),
    ):
        text = await button_ids.write(store, long)
        assert len(text) <= 100 and await button_ids.read(store, text)
        await button_ids.sweep(store)
        again = await button_ids.read(store, text)
        assert again and await button_ids.write(store, again) == text
        await (erase_subject(store, subject) if long.home else delete_job(store, long.arguments["job"]))
        assert await button_ids.read(store, text) is None
    assert all(name.startswith("receipts/") for name in await store.names(""))


@pytest.fixture
async def host() -> AsyncIterator[str]:
    """A server of files; gives its name with the port."""
    asked: Counter[str] = Counter()

    async def give(request: web.Request) -> web.Response:
        what = request.match_info["what"]
        asked[what] += 1
        if what == "busy" or (what == "shaky" and asked[what] == 1):
            return web.Response(status=503 if asked[what] == 1 else 429)
        if what == "shaky" and asked[what] == 2 and request.transport:
            request.transport.abort()
        if what == "page":
            return web.Response(text="<html>Sign in</html>", content_type="text/html")
        if what == "elsewhere":
            raise web.HTTPFound("http://127.0.0.1:1/stolen")
        if what == "slow":
            await asyncio.sleep(5)
        if what == "expired":
            return web.Response(status=403)
        return web.Response(body=b"x" * int(request.query.get("bytes", "10")))

    app = web.Application()
    app.router.add_get("/{what}", give)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def got(url: str, host: str, timeout_s: float = 0.5) -> Upload:
    hosts = FileHosts({"cdn.example"}, f"http://{host}/api")
    async with aiohttp.ClientSession() as session:
        return await fetch_file(session, "rex.png", url, hosts=hosts, most_bytes=1000, timeout_s=timeout_s)


async def test_a_file_is_fetched_whole(host: str) -> None:
    assert await got(f"http://{host}/file?bytes=1000", host) == Upload(name="rex.png", data=b"x" * 1000)


@pytest.mark.parametrize(
    ("path", "allowed", "sentence"),
    [
        ("file", "api.example", "not on this chat's own servers"),
        ("file?bytes=1001", "", "too large: 0.000954 MB is the limit"),
        ("page", "", "web page instead"),
        ("elsewhere", "", "status 302"),
        ("expired", "", "link has expired"),
        ("slow", "", "could not be fetched"),
    ],
)
async def test_what_cannot_be_fetched_says_why(host: str, path: str, allowed: str, sentence: str) -> None:
    upload = await got(f"http://{host}/{path}", allowed or host)
    assert sentence in upload.trouble and not upload.data


async def test_what_fails_for_a_moment_is_fetched_again(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "wait_random_exponential", lambda *_: wait_none())
    assert (await got(f"http://{host}/shaky", host, timeout_s=5)).data
    assert "status 429" in (await got(f"http://{host}/busy", host, timeout_s=5)).trouble


@pytest.mark.parametrize(
    ("url", "api_url", "there"),
    [
        ("https://cdn.example/x", "", True),
        ("http://cdn.example/x", "", False),
        ("https://cdn.example:8443/x", "", False),
        ("http://proxy.example:9/x", "http://Proxy.example/api", True),
        ("https://proxy.example:9/x", "https://proxy.example/api", True),
        ("http://proxy.example:9/x", "https://proxy.example/api", False),
        ("https://proxy.example.evil/x", "https://proxy.example/api", False),
    ],
)
def test_the_host_of_the_api_may_have_files_on_any_port(url: str, api_url: str, there: bool) -> None:
    assert FileHosts({"cdn.example"}, api_url).have(url) == there


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://{host}/x", "http://{host}@evil.example/x", "http:///x"])
async def test_only_the_web_and_only_the_host_itself(host: str, url: str) -> None:
    assert "not on this chat's own servers" in (await got(url.format(host=host), host)).trouble


async def test_one_leads_and_the_next_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader_election, "HELD_S", 4.0)  # renewed long before, on a busy machine too
    monkeypatch.setattr(leader_election, "RENEW_S", 0.2)
    monkeypatch.setattr(leader_election, "TRY_S", 0.1)
    with valkey() as url:
        redis = await broker.connect(url)
        first, second = leader_election.LeaderLock(redis, "x"), leader_election.LeaderLock(redis, "x")
        await first.wait()
        keeping = asyncio.create_task(first.lost())
        waiting = asyncio.create_task(second.wait())
        await asyncio.sleep(2 * leader_election.HELD_S)
        assert not waiting.done() and not keeping.done()
        keeping.cancel()  # the first is silent from now on
        await asyncio.wait_for(waiting, 60)
        await asyncio.wait_for(first.lost(), 60)
        await second.resign()
        await asyncio.wait_for(first.wait(), 60)
        await redis.aclose()


async def test_edit_prompt_comes_filled_in(chat: Chat) -> None:
    drawn = (await chat("imagine", prompt="a dog", count=2, steps=2, negative="rain"))[-1]
    edit = next(b for b in drawn.buttons if b.label == "Edit prompt")
    asked = Request(space=chat.space, user=chat.user, command=edit.command)
    form = await filled_form(chat.app, asked, edit.command, edit.arguments)
    filled = {field.name: field.default for field in form.fields}
    assert (filled["prompt"], filled["count"], filled["negative"]) == ("a dog", "2", "rain")
    assert [field.name for field in form.brief] == ["prompt", "count", "seed", "guidance", "negative"]


def test_of_work_that_goes_on_the_newest_pictures_are_shown() -> None:
    pictures = tuple(Picture(key=f"sample-{k}", width_px=8, height_px=8) for k in range(13))
    working = Reply(text="Learning.", state="working", pictures=pictures)
    assert working.shown == pictures[-10:] and Reply(text="All.", pictures=pictures).shown == pictures[:10]


async def test_a_recipe_is_told_whole_on_slack(tmp_path: Path) -> None:
    recipe = ", ".join(f"{name} {value}" for name, value in Recipe().model_dump().items())
    reply = Reply(text="rex", facts={"class": "dog", "recipe": recipe, "much": "&" * 3000, "photos": "4"})
    laid = [block.to_dict() for block in await blocks(FolderStore(tmp_path), reply, {})]
    assert len(recipe) > 316 and laid[2]["text"]["text"] == f"*recipe*\n{recipe}"
    assert laid[3]["text"]["text"].endswith("&amp;…") and 1800 < len(laid[3]["text"]["text"]) < 2000
    assert [[field["text"] for field in laid[k]["fields"]] for k in (1, 4)] == [["*class*\ndog"], ["*photos*\n4"]]
