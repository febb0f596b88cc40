"""The terminal in odd surroundings, and small sentences that people read there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.arguments import prompts
from bot.arguments.arguments import TrainArguments
from bot.arguments.validation import problems
from bot.commands.registry import COMMANDS
from bot.connectors.terminal.screen import in_terminal
from storage import __version__
from storage.contract.subjects import Subject
from storage.errors import UserError


def darkroom(*arguments: str, before: str = "", **environment: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run the command with a changed environment (None takes a variable away), after some Python code `before`."""
    changed = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    code = f"import sys; sys.argv = {['darkroom', *arguments]!r}\n{before}\nfrom bot.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code], env=changed, capture_output=True, check=False)


def test_the_version_is_printed() -> None:
    said = darkroom("--version")
    assert (said.returncode, said.stdout.decode()) == (0, f"darkroom {__version__}\n")


def test_what_is_unset_is_said_to_be_unset_and_nothing_else(tmp_path: Path) -> None:
    said = darkroom("settings", DARKROOM_HOME=str(tmp_path), DISCORD_TOKEN=None, SLACK_BOT_TOKEN=None)
    assert said.returncode == 0
    assert re.search(r"^DISCORD_TOKEN +\(unset\)$", said.stdout.decode(), re.M)
    assert "None" not in said.stdout.decode()


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(name, marks=pytest.mark.slow) for name in ("latin-1", "cp1252"))]
)
def test_a_terminal_that_lacks_some_characters_is_no_error(tmp_path: Path, encoding: str) -> None:
    home = {"DARKROOM_HOME": str(tmp_path / "žlutý 犬"), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for arguments in (["settings"], ["imagine", "犬" * 2000], ["--help"]):
        said = darkroom(*arguments, **home)
        assert b"Traceback" not in said.stderr
        assert said.returncode == (2 if "imagine" in arguments else 0), said.stderr
    as_json = darkroom("settings", "--json", **home)
    values = {row["name"]: row["value"] for row in json.loads(as_json.stdout.decode(encoding))["settings"]}
    assert values["DARKROOM_HOME"] == home["DARKROOM_HOME"], "whatever the encoding, JSON loses nothing"


def test_an_account_without_a_home_is_told_what_to_set() -> None:
    nobody = "import pwd\ndef none(_): raise KeyError\npwd.getpwuid = none"
    said = darkroom("settings", before=nobody, HOME=None, XDG_DATA_HOME=None, DARKROOM_HOME=None)
    assert said.returncode == 1
    assert said.stderr.decode() == (
        "This account has no home folder: set DARKROOM_HOME to the folder that is to be used.\n"
    )


def test_commands_in_sentences_are_the_terminals_and_paths_stay_paths() -> None:
    assert in_terminal("Wait, or /dreambooth cancel it.") == "Wait, or darkroom cancel it."
    assert (
        in_terminal("It is in ~/.local/share and /home/me/show/jobs.")
        == "It is in ~/.local/share and /home/me/show/jobs."
    )


def subject(name: str) -> Subject:
    return Subject(space="s", owner="o", name=name, noun="dog", base_model="toyworld")


def test_a_name_is_suggested_only_where_it_is_alike() -> None:
    known = [subject(name) for name in ("duck", "rex")]
    with pytest.raises(UserError, match=r"There is no subject called dukc. Did you mean duck\?"):
        prompts.by_name("dukc", known)
    with pytest.raises(UserError, match=r"There is no subject called nobody. Known here: duck, rex\."):
        prompts.by_name("nobody", known)
    with pytest.raises(UserError, match=r"Known here: s0, s1, s2, s3, s4 and others\."):
        prompts.by_name("nobody", [subject(f"s{n}") for n in range(9)])
    with pytest.raises(UserError, match="There are none yet"):
        prompts.by_name("nobody", [])


def test_what_is_missing_is_asked_for_in_one_sentence() -> None:
    assert problems(TrainArguments, {"name": "rex"}) == {
        "class": "Please give a class: the kind of thing it is, like dog, mug or robot."
    }
    asked = {sentence for command in COMMANDS.values() for sentence in problems(command.arguments, {}).values()}
    assert "Please give a prompt: what to draw; [name] or [V] stands for your subject." in asked
    assert "Please give names: existing subjects, like: rex mia." in asked
    for sentence in asked:
        what, _, meaning = sentence.removeprefix("Please give ").partition(": ")
        name = what.split()[-1]
        assert meaning and not meaning.startswith((f"{name}:", f"{name};", f"the {name};")), sentence
