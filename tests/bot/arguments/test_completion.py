"""What may come next in a line, and how commands look as forms and as typed lines."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.arguments.arguments import ImagineArguments
from bot.arguments.forms import fields
from bot.arguments.parser import parse, typed
from bot.commands.registry import COMMANDS
from bot.connectors.web.completion import complete

KNOWN = {"subjects": ["rex", "Rexine", "mug"], "jobs": ["0123456789abcdef0123"]}


async def suggest(what: str) -> Sequence[str]:
    return KNOWN[what]


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("/im", ["/imagine "]),
        ("im", []),
        ("a [", ["[rex]", "[Rexine]", "[mug]", "[V]"]),
        (" a [RE", ["[rex]", "[Rexine]"]),
        ("a dog --scheduler eu", ["euler", "euler-a"]),
        ("/dream", ["/dreambooth train ", "/dreambooth list", "/dreambooth show ", "/dreambooth share "]),
        ("/help", []),
        ("/again", []),
        ("Hello", []),
        ("/imagine ", []),
        ("/imagine a dog", []),
        ("/imagine a [", ["[rex]", "[Rexine]", "[mug]", "[V]"]),
        ("/imagine a [RE", ["[rex]", "[Rexine]"]),
        ("/imagine a [rex]", []),
        ("/imagine a dog --se", ["--seed "]),
        ("/imagine a dog --seed 3 --se", []),
        ("/imagine a dog --seed", []),
        ("/imagine a dog --scheduler eu", ["euler", "euler-a"]),
        ("/imagine a dog --quality d", ["draft"]),
        ("/imagine a dog --scheduler euler", []),
        ("/imagine a dog --scheduler=pn", ["pndm"]),
        ("/imagine a dog --scheduler pndm dd", []),
        ("/imagine a dog --subject m", ["mug"]),
        ("/dreambooth show r", ["rex", "Rexine"]),
        ("/dreambooth show rex m", []),
        ("/dreambooth share m", ["mug"]),
        ("/dreambooth share mug ", ["private", "channel", "space"]),
        ("/dreambooth share mug PRI", ["private"]),
        ("/dreambooth cancel ", ["0123456789abcdef0123"]),
        ("/dreambooth train rex d", []),
    ],
)
async def test_what_may_come_next(line: str, texts: list[str]) -> None:
    found = await complete(line, suggest)
    assert [completion.text for completion in found][: len(texts) or None] == texts
    for completion in found:
        assert line[completion.start :].casefold().lstrip("/") in completion.text.casefold()


@given(st.text(max_size=60))
async def test_any_line_can_be_completed(line: str) -> None:
    for start in ("", "/imagine ", "/dreambooth show ", "/imagine a --scheduler "):
        for completion in await complete(start + line, suggest):
            assert 0 <= completion.start <= len(start + line)


def test_every_argument_becomes_a_field() -> None:
    for command in COMMANDS.values():
        shown = command.form()
        assert [f.name for f in shown.fields] == [f.alias or name for name, f in command.arguments.model_fields.items()]
        assert all(f.meaning for f in shown.fields), command.name


def test_fields_know_their_limits() -> None:
    known = {field.name: field for field in fields(ImagineArguments)}
    assert (known["count"].kind, known["count"].minimum, known["count"].maximum) == ("whole", 1, 16)
    assert (known["guidance"].kind, known["guidance"].default) == ("number", "")  # as suits the base model
    assert (known["size"].kind, known["size"].required, known["size"].default) == ("text", False, "")
    assert known["scheduler"].choices[0] == "ddim"
    assert (known["prompt"].required, known["prompt"].longest) == (True, 1000)
    assert known["subject"].suggest == "subjects"


def test_what_a_form_sends_reads_like_a_typed_line() -> None:
    values = {"prompt": "a [rex] dog in Paris", "count": "2", "negative": "rain, snow"}
    line = typed("imagine", values, ImagineArguments)
    assert line == "/imagine a [rex] dog in Paris --count 2 --negative rain, snow"
    assert parse(line.removeprefix("/imagine "), ImagineArguments) == values
