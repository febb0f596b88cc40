"""What a line typed in the local web chat means: a prompt, a command, or a slip that gets its sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.connectors.web.slash_commands import parse_line
from storage.errors import UserError


@pytest.mark.parametrize(
    ("line", "command", "rest"),
    [
        ("a dog in Paris", "imagine", "a dog in Paris"),
        ("  A [rex] dog, at night! --count 2", "imagine", "A [rex] dog, at night! --count 2"),
        ("Hello?", "imagine", "Hello?"),
        ("ein Hund im Schnee", "imagine", "ein Hund im Schnee"),
        ("train station at night", "imagine", "train station at night"),
        ("help me draw a cat", "imagine", "help me draw a cat"),
        ("imagine a dog", "imagine", "a dog"),
        ("1/2 of an apple", "imagine", "1/2 of an apple"),
        ("/imagine a dog", "imagine", "a dog"),
        ("／imagine a dog", "imagine", "a dog"),
        ("/ jobs", "jobs", ""),
        ("/status", "status", ""),
        ("/darkroom status", "status", ""),
        ("/Darkroom Jobs", "jobs", ""),
        ("/Dreambooth Train rex dog", "dreambooth train", "rex dog"),
    ],
)
def test_words_are_a_prompt_and_a_slash_begins_a_command(line: str, command: str, rest: str) -> None:
    assert parse_line(line) == (command, rest)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/imagin a dog", "There is no command /imagin. Did you mean /imagine?"),
        ("/hlep", "There is no command /hlep. Did you mean /help?"),
        ("/train rex dog", "There is no command /train. Did you mean /dreambooth train?"),
        ("/dreamboth train rex dog", "Did you mean /dreambooth train?"),
        ("/dreambooth trian rex dog", "no command /dreambooth trian. Did you mean /dreambooth train?"),
        ("/a dog in Paris", "There is no command /a. Try /help. To draw a picture, describe it without a slash."),
        ("/", "A command follows the slash"),
        ("", "Describe a picture"),
        ("help", "Did you mean the command /help? Commands begin with a slash"),
        ("Jobs", "the command /jobs?"),
        ("status", "the command /status?"),
        ("forget-me", "the command /forget-me?"),
        ("dreambooth train rex dog", "the command /dreambooth train?"),
        ("train rex dog --class cat", "the command /dreambooth train?"),
        ("show rex", "the command /dreambooth show?"),
        ("forget rex", "the command /dreambooth forget?"),
        ("list", "the command /dreambooth list?"),
        ("\\imagine a dog", "the command /imagine?"),
        ("!help", "the command /help?"),
    ],
)
def test_a_slip_gets_a_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        parse_line(line)
    assert sentence in str(refusal.value)


def test_words_with_photos_are_not_drawn_without_them() -> None:
    with pytest.raises(UserError, match="/dreambooth train NAME CLASS"):
        parse_line("this is rex", photos=3)


@given(st.text())
def test_every_line_is_understood_or_told(line: str) -> None:
    try:
        name, _ = parse_line(line)
        assert name
    except UserError as error:
        assert str(error).endswith((".", "?"))
