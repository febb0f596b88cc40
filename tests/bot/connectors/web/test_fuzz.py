"""Nonsense at the web chat's endpoints: refused in a sentence with 4xx, never an error of ours."""

import gzip
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from aiohttp import ClientSession

from bot.connectors.web.connector import opened
from tests.servers.backing import valkey
from tests.support.web_chat import settings_of

pytestmark = pytest.mark.timeout(300)
END = b"\r\n--xx--\r\n"
FORM = "multipart/form-data; boundary=xx"
PART = b'--xx\r\nContent-Disposition: form-data; name="photos"; filename="a.png"\r\n\r\n'
ODD = [
    "../../",
    "..",
    "%00",
    "%ff%fe",
    "%ed%a0%80",
    "0" * 5000,
    "NaN",
    "-1",
    "'",
    "[",
    "%1b%5d52",
    "a%0d%0ab: c",
    "🐶",
    "ffff",
]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    with valkey() as queue:
        settings = settings_of(tmp_path, queue, DARKROOM_PHOTOS_MAX=20, DARKROOM_REQUESTS_PER_MINUTE=10**6)
        async with opened(settings, queue) as address:
            yield address


async def posted(url: str, body: bytes, content_type: str = FORM, **more: str) -> tuple[int, str]:
    headers = {"Origin": url, "Content-Type": content_type, **more}
    async with (
        ClientSession(headers=headers) as client,
        client.post(f"{url}/messages", data=io.BytesIO(body)) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text).get("error", "") if text.startswith("{") else text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"nonsense", FORM),
        (PART + b"x", FORM),
        (b"--xx", FORM),
        (b"--xx\r\n\r\nx\r\n--xx--\r\n", FORM),
        (b"--xx\r\nContent-Disposition: nonsense\r\n\r\nx\r\n--xx--", FORM),
        (b"--xx\r\nNo colon\r\n\r\nx\r\n--xx--", FORM),
        (PART + b"x\r\n--xx--", "multipart/form-data"),
        (PART + b"x\r\n--xx--", "multipart/form-data; boundary=" + "y" * 300),
        (b"--xx\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n\r\n--zz--\r\n--xx--", FORM),
        (b"line=%2Fhelp", "application/x-www-form-urlencoded; charset=nonsense"),
        (b"{}", "application/json"),
        (b"\xff\xfe", "text/plain"),
    ],
)
async def test_what_is_no_form_is_told_so(url: str, body: bytes, content_type: str) -> None:
    status, sentence = await posted(url, body, content_type)
    assert status in (400, 201), sentence
    assert status == 201 or sentence.endswith(".")


async def test_thousands_of_tiny_uploads_are_too_many(url: str) -> None:
    body = b"".join(PART + b"x\r\n" for _ in range(10_000)) + b"--xx--\r\n"
    assert await posted(url, body) == (413, "Too many files: the limit is 20 photos.")
    fields = b"".join(b'--xx\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % k for k in range(10_000))
    too_much = (413, "That is too much text at once: the limit is 1 MB, in 100 fields.")
    assert await posted(url, fields + b"--xx--\r\n") == too_much
    for text in (b"line=" + b"x" * 2**21, b"&".join(b"f%d=1" % k for k in range(100_000))):
        assert await posted(url, text, "application/x-www-form-urlencoded") == too_much
    status, sentence = await posted(
        url, b'--xx\r\nContent-Disposition: form-data; name="line"\r\n\r\n' + b"x" * 2**21 + END
    )
    assert status == 413 and "text" in sentence


async def test_what_is_packed_is_counted_unpacked_and_told_if_damaged(url: str) -> None:
    packed, kind = {"Content-Encoding": "gzip"}, "application/x-www-form-urlencoded"
    status, sentence = await posted(url, gzip.compress(b"line=" + b"x" * 2**22), kind, **packed)
    assert (status, sentence) == (413, "That is too much text at once: the limit is 1 MB, in 100 fields.")
    status, sentence = await posted(url, b"line=a dog", kind, **packed)
    assert status == 400 and sentence.endswith(".")


PATHS = "form?command=imagine&like= form?like= form?command= messages?before= gallery?before= completions?line= "
PATHS += "pictures/ pictures/jobs/ page/"


@pytest.mark.parametrize("path", PATHS.split())
async def test_odd_questions_get_an_answer_of_4xx_or_none(url: str, path: str) -> None:
    async with ClientSession() as client:
        for odd in ODD:
            async with client.get(f"{url}/{path}{odd}") as response:
                assert response.status < 500, (path, odd, await response.text())


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("form?command=imagine&like=../../", 400, "../../ is no id."),
        ("form?command=imagine&like=" + "0" * 5000, 400, "00000000000000000000 is no id."),
        ("messages?before=../../", 400, "../../ is no id."),
        ("gallery?before=nonsense", 400, "nonsense is no id."),
        ("form?command=imagine&like=0123456789abcdef0123", 404, "There is no job 0123456789abcdef0123 here."),
        ("form?command=nonsense", 404, "There is no command /nonsense."),
    ],
)
async def test_what_is_no_id_is_malformed_and_what_is_not_there_is_unknown(
    url: str, path: str, status: int, says: str
) -> None:
    async with ClientSession() as client, client.get(f"{url}/{path}") as response:
        assert (response.status, (await response.json())["error"]) == (status, says)


async def test_mangled_forms(url: str) -> None:
    chance = Random(7)
    whole = (
        b'--xx\r\nContent-Disposition: form-data; name="line"\r\n\r\n/imagine [\r\n'
        + PART
        + b"no picture\r\n--xx--\r\n"
    )
    for _ in range(300):
        at, to = sorted(chance.randrange(len(whole)) for _ in range(2))
        ways = [whole[:at], whole[:at] + whole[to:], whole[:at] + chance.randbytes(to - at) + whole[to:], whole[at:]]
        status, sentence = await posted(url, chance.choice(ways))
        assert status in (201, 400, 413), sentence
