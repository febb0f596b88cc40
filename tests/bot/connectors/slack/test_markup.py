"""What people typed arrives on Slack letter by letter, in plain text and beside markup; nothing is too long for it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import PlainTextObject

from bot.connectors.slack import render
from bot.connectors.slack.markup import NOTHING, clipped_escaped, escape, plain, unformatted
from bot.core.messages import Reply
from storage.objects.folder import FolderStore
from tests.servers.slack.people import images, words
from tests.support.slack_bot import SPACE, Scene

MARKED = "<!channel> <@U0BOB> *bold* _it_ ~gone~ `code` :dog: https://a.example 3 < 4 & so on"
TEXTS = st.text("ab c*_~`:<>&!@/\n狗", max_size=60)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """A store that nothing is put into."""
    return FolderStore(tmp_path)


def test_markup_is_broken_where_it_can_be_read() -> None:
    shown = "<!channel> <@U0BOB> *|bold*| _|it_| ~|gone~| `|code`| :|dog: https:|//a.example 3 < 4 & so on"
    assert unformatted(MARKED).replace(NOTHING, "|") == escape(shown)
    assert unformatted("> a\n>b > c").replace(NOTHING, "|") == "|&gt; a\n|&gt;b &gt; c"
    assert unformatted("my_dog 2*3 10:30 __x__").replace(NOTHING, "|") == "my_dog 2*3 10:30 _|_|x_|_|"


@given(TEXTS)
def test_what_is_shown_can_be_copied_and_sent_again(text: str) -> None:
    assert plain(escape(text)) == plain(unformatted(text)) == text


@given(TEXTS, st.integers(1, 80))
def test_no_letter_is_cut_in_two(text: str, longest: int) -> None:
    clipped = clipped_escaped(escape(text), longest)
    assert len(clipped) <= longest
    assert not re.search(r"&(?!(amp|lt|gt);)", clipped)


@pytest.mark.parametrize("letter", ["&", "<", "> ", "*", ":a:", "狗"])
@pytest.mark.parametrize("mention", ["", "U0ADA"])
async def test_the_longest_texts_fit(store: FolderStore, letter: str, mention: str) -> None:
    reply = Reply(text=letter * 3000, facts={letter * 300: letter * 3000})
    laid = await render.blocks(store, reply, {}, mention)
    assert [block.to_dict()["type"] for block in laid] == ["section", "section"]
    assert len(render.fallback(reply, mention)) <= 3000


async def test_a_text_that_calls_nobody_is_plain(store: FolderStore) -> None:
    (said,) = await render.blocks(store, Reply(text="*rex*"), {})
    assert isinstance(said.text, PlainTextObject) and said.text.text == "*rex*"  # type: ignore[attr-defined]
    (said,) = await render.blocks(store, Reply(text="*rex*"), {}, "U0ADA")
    assert said.text.text.replace(NOTHING, "|") == "<@U0ADA> *|rex*|"  # type: ignore[attr-defined]


async def test_nobody_is_called_by_a_prompt(scene: Scene) -> None:
    prompt = "<!channel> <@U0BOB> & <https://a.example|a> *bold* שלום 狗🐕 @here"
    async with scene.bot():
        message = await scene.imagined(prompt)
        said = words(message)
        assert "<!" not in said and "<@" not in said and "<http" not in said
        assert "&lt;!channel&gt; &lt;@U0BOB&gt; &amp; " in message.text and "שלום 狗🐕" in message.text
        assert (await scene.hand.job(SPACE)).prompt == prompt
        quiet = [given for method, given in scene.server.calls if method in ("chat.postMessage", "chat.update")]
        assert all(given["link_names"] is False and given["parse"] == "none" for given in quiet)


async def test_the_longest_text_gets_its_pictures(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "&" * 900)
        await scene.hand.draw(await scene.job())
        await scene.slack.message(lambda m: bool(images(m)))
