"""The docs say what the program does: generated pages are fresh, and every command, setting and link exists."""

import re
from pathlib import Path

import pytest
import typer

from bot.cli.commands import app
from docs_tools.reference import commands_page, settings_page
from storage.settings.ask import AskSettings
from storage.settings.bot import BotSettings
from storage.settings.language_model import LanguageModelSettings
from storage.settings.trainer import TrainerSettings

SETTINGS = {
    str(field.validation_alias)
    for kind in (BotSettings, TrainerSettings, AskSettings, LanguageModelSettings)
    for field in kind.model_fields.values()
}
HERE = Path(__file__).parents[2]
PAGES = sorted([*HERE.glob("*.md"), *(HERE / "docs").glob("*.md")])
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def code_of(page: Path) -> str:
    """All code of a page, spans and blocks."""
    return "\n".join(CODE.findall(page.read_text()))


@pytest.mark.parametrize(("name", "fresh"), [("commands.md", commands_page), ("settings.md", settings_page)])
def test_generated_pages_are_fresh(name: str, fresh) -> None:
    assert (HERE / "docs" / name).read_text() == fresh(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_commands_exist(page: Path) -> None:
    code = code_of(page)
    targets = set(re.findall(r"^([a-z]+):", (HERE / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", code)) <= targets
    called = re.findall(r"(?:^|[`\s]|bin/)darkroom ([a-z]+)([^`\n]*)", code)
    for name, rest in called:
        assert name in COMMANDS, f"darkroom {name}"
        known = {word for parameter in COMMANDS[name].params for word in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)) <= known, f"darkroom {name}{rest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_every_command_and_setting_is_documented() -> None:
    commands, settings = (HERE / "docs" / "commands.md").read_text(), (HERE / "docs" / "settings.md").read_text()
    assert [name for name in COMMANDS if f"### `darkroom {name}" not in commands] == []
    assert [name for name in SETTINGS if f"`{name}`" not in settings] == []


def test_settings_that_the_docs_name_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bDARKROOM_[A-Z_]+", page.read_text())}
    assert named <= SETTINGS


def test_files_and_modules_that_the_docs_name_exist() -> None:
    code = "\n".join(map(code_of, PAGES))
    modules = {
        name.replace(".", "/")
        for name in re.findall(r"python -m ((?:bot|trainer|tests|research|docs_tools)[.\w]*)", code)
    }
    named = set(re.findall(r"`((?:bot|trainer|storage|tests|research|docs_tools)/[\w./]+)`", code))
    assert named and modules
    assert [name for name in named if not (HERE / name).exists()] == []
    assert [name for name in modules if not (HERE / name).is_dir() and not (HERE / f"{name}.py").exists()] == []


@pytest.mark.parametrize("package", ["bot", "trainer", "storage"])
def test_every_folder_is_introduced(package: str) -> None:
    design = (HERE / "docs" / "design.md").read_text()
    table = "".join(line.partition(" | ")[0] for line in design.splitlines() if line.startswith(f"| `{package}/"))
    folders = {path.parent.name for path in (HERE / package).glob("*/__init__.py")}
    assert {name for name in folders if f"`{package}/{name}`" not in table} == set()
