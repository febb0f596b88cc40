"""`darkroom export` and `darkroom import` at the terminal: there and back, and everything that is refused."""

import asyncio
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import ones

from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.objects.folder import FolderStore
from tests.conftest import Chat, Stack, photos_of_a_character
from tests.support.terminal import Said, darkroom, darkrooms, environment


@pytest.fixture
def env(stack: Stack) -> dict[str, str]:
    """The environment of commands beside the deployment."""
    settings = {name: value for name, value in stack.environment.items() if name != "DARKROOM_HOME"}
    return environment(stack.home, **settings)


@pytest.mark.exhaustive
@pytest.mark.timeout(480)
async def test_a_subject_goes_out_and_comes_back(chat: Chat, env: dict[str, str], tmp_path: Path) -> None:
    here = Chat(chat.app)  # the terminal's space
    *_, learned = await here("dreambooth train", photos_of_a_character(), name="outbound", noun="dog", method="lora")
    assert learned.state == "done"
    out = darkroom("export", "outbound", "--format", "lora", "--json", env=env, cwd=tmp_path)
    assert out.code == 0, out.err
    folder = tmp_path / "darkroom-exports" / "outbound-lora"
    assert out.result["path"] == str(folder)
    assert out.result["files"] == [str(folder / "README.txt"), str(folder / "outbound.safetensors")]

    file = str(folder / "outbound.safetensors")
    named = ["--name", "inbound", "--class", "dog", "--trigger", "zuf"]
    back = darkroom("import", file, *named, "--json", env=env, cwd=tmp_path)
    assert back.code == 0, back.err
    assert (back.result["name"], back.result["method"]) == ("inbound", "lora")
    assert "inbound is ready. Write [inbound] in a prompt: darkroom imagine" in back.result["message"]

    *_, pictures = await here("imagine", prompt="a [inbound] in Paris", count=1, steps=2, seed=1)
    assert pictures.state == "done" and pictures.facts["identifier"] == "zuf"
    imported, trained = [await chat.app.subjects.find("local", name) for name in ("inbound", "outbound")]
    assert imported and trained and imported.base_sha256 == trained.base_sha256 != ""
    another = "inbound was learned from another base model or version of it"
    for method, state in (("lora", "done"), ("full", "failed")):
        of = {"base_sha256": "0", "method": method}
        await chat.app.subjects.change(imported.id, lambda found, of=of: found.model_copy(update=of))
        *_, pictures = await here("imagine", prompt="a [inbound] in Paris", count=1, steps=2, seed=1)
        assert pictures.state == state and another in pictures.text

    *_, shown = await here("dreambooth show", name="inbound")
    assert "imported from outbound.safetensors" in shown.facts["recipe"]
    *_, refused = await here("dreambooth retrain", name="inbound")
    assert refused.text == "inbound was imported without photos, so it cannot be trained again."


ABOUT = ["--name", "new", "--class", "dog", "--trigger", "zuf"]
REFUSED: dict[str, tuple[list[str], int, str]] = {
    "an unknown subject": (["export", "tekan"], 2, "Did you mean taken?"),
    "an unknown format": (["export", "taken", "--format", "zip"], 2, "Format must be 'diffusers', 'single' or 'lora'"),
    "a subject without weights": (["export", "taken"], 2, "taken is not ready yet."),
    "weights that are lost": (["export", "lost"], 1, "There is no object"),
    "a place that is taken": (["export", "lost", "--format", "lora"], 2, "lost-lora already exists. Remove it"),
    "a place that cannot be": (["export", "lost", "--out", "text"], 2, "Nothing can be written to"),
    "no file": (["import", "none.safetensors", *ABOUT], 2, "There is no file none.safetensors."),
    "no trigger": (["import", "text", *ABOUT[:4]], 2, "Please give a trigger"),
    "an empty trigger": (["import", "text", *ABOUT[:4], "--trigger", " "], 2, "Say which words mean it in the file"),
    "a bad name": (["import", "text", "--name", "a/b", *ABOUT[2:]], 2, "letters, digits, - and _ only"),
    "a name that is taken": (["import", "text", "--name", "TAKEN", *ABOUT[2:]], 2, "already a subject called taken"),
    "a file that is a text": (["import", "text", *ABOUT], 2, "text is no safetensors file"),
    "a file for another model": (["import", "xl.safetensors", *ABOUT], 2, "it seems to be for Stable Diffusion XL"),
    "no trainer": (
        ["PYTHONPATH=nothing", "import", "xl.safetensors", *ABOUT],
        1,
        "`make setup` in Darkroom's checkout installs what is missing.",
    ),
}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory, micro_model: Path) -> tuple[Path, dict[str, str]]:
    """A folder with files, and the environment of commands there, on a store with two subjects in it."""
    folder = tmp_path_factory.mktemp("exchange")
    (folder / "text").write_text("no weights at all")
    (folder / "darkroom-exports" / "lost-lora").mkdir(parents=True)
    (folder / "nothing").mkdir()
    (folder / "nothing" / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    layer = {f"{name}.lora_down.weight": ones(4, 2048), f"{name}.lora_up.weight": ones(32, 4)}
    save_file(layer, folder / "xl.safetensors")
    env = environment(folder / "home", DARKROOM_BASE_MODEL=str(micro_model))
    _add(folder, Subject(space="local", owner="you", name="taken", noun="dog", base_model="toyworld", state="ready"))
    lost = {"weights_key": "subjects/1/weights/gone", "weights_sha256": "0", "state": "ready"}
    _add(folder, Subject(space="local", owner="you", name="lost", noun="dog", base_model="toyworld", **lost))
    return folder, env


@pytest.fixture(scope="module")
def said(exchange: tuple[Path, dict[str, str]]) -> dict[str, Said]:
    """What every command of the table said."""
    folder, env = exchange
    answers = darkrooms([["jobs", "--json"], *([*words, "--json"] for words, _, _ in REFUSED.values())], env, folder)
    return dict(zip(["nothing yet", *REFUSED], answers, strict=True))


def _add(folder: Path, subject: Subject) -> None:
    asyncio.run(Subjects(FolderStore(folder / "home" / "store")).add(subject))


@pytest.mark.timeout(480)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_gets_its_sentence_and_leaves_nothing(case: str, said: dict[str, Said]) -> None:
    _, code, sentence = REFUSED[case]
    assert sentence in said[case].result["message"]
    assert (said[case].code, said[case].result["state"]) == (code, "failed")
    assert said[case].left == said["nothing yet"].left
    assert "Traceback" not in said[case].err


@pytest.mark.slow
def test_a_base_model_that_is_not_there_is_named(exchange: tuple[Path, dict[str, str]]) -> None:
    folder, env = exchange
    words = ["DARKROOM_BASE_MODEL=/no/such/model", "import", "xl.safetensors", *ABOUT, "--json"]
    (refused,) = darkrooms([words], env, folder)
    assert (refused.code, refused.result["state"]) == (1, "failed")
    assert "There is no folder or file /no/such/model" in refused.result["message"]
