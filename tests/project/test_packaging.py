"""The container files hang together, and the parts import only what they may."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from redis import Redis

from storage.settings.bot import BotSettings
from storage.settings.shared import SharedSettings
from storage.settings.trainer import TrainerSettings
from tests.servers.backing import valkey

HERE = Path(__file__).parents[2]
DOCKERFILE = (HERE / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
SERVICES = COMPOSE["services"]
UNSHIPPED = {"research", "docs_tools", "tests"}
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "safetensors", "tokenizers"}
IMPORT_MAX_S = 8  # of processor time, on a machine twice as slow and busy


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    said = subprocess.run([hadolint, HERE / "Dockerfile"], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    ignored = (HERE / ".dockerignore").read_text().splitlines()
    allowed = [line[1:].rstrip("/") for line in ignored if line.startswith("!")]
    copied = {source for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M) for source in line.split()[:-1]}
    assert copied == set(allowed)
    assert [source for source in copied if not (HERE / source).exists()] == []
    assert not any(fnmatch(".env", pattern) for pattern in allowed)


LOCKS = {  # by lock file: the extras that it is for
    "bot": (),
    "demo": ("trainer", "ask", "embedded"),
    "trainer": ("trainer", "ask", "tensorboard"),
    "dev": ("trainer", "ask", "tensorboard", "embedded", "dev"),
}


def locked(name: str) -> dict[str, list[str]]:
    """Versions by package; several where they depend on the Python."""
    found: dict[str, list[str]] = {}
    for line in (HERE / "requirements" / f"{name}.txt").read_text().splitlines():
        if match := re.match(r"([\w.-]+)==([\w.]+)", line):
            found.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_all_that_the_project_names_with_hashes(name: str) -> None:
    versions, named = locked(name), [*PROJECT["dependencies"]]
    for extra in LOCKS[name]:
        named += PROJECT["optional-dependencies"][extra]
    for need in map(Requirement, named):
        if need.name != "torch":  # its build, and so its hash, differs by machine
            assert any(need.specifier.contains(version) for version in versions[canonicalize_name(need.name)]), need
    assert "torch" not in versions
    assert all(found == locked("dev")[package] for package, found in versions.items()), "one version everywhere"
    text = (HERE / "requirements" / f"{name}.txt").read_text()
    assert len(re.findall(r"\\\n    --hash=sha256:[0-9a-f]{64}", text)) >= len(re.findall(r"^\S+==", text, re.M))


def test_what_is_installed_here_meets_the_requirements_of_what_is_locked() -> None:
    """`--no-deps` installs no package that the lock has forgotten."""
    versions = locked("dev") | {"torch": [distribution("torch").version]}
    for name in locked("dev"):
        try:
            requirements = distribution(name).requires or ()
        except PackageNotFoundError:  # for another system or Python
            continue
        for need in map(Requirement, requirements):
            if not need.marker or need.marker.evaluate({"extra": ""}):
                assert any(need.specifier.contains(v, prereleases=True) for v in versions[canonicalize_name(need.name)])


def test_the_images_install_the_lock_files_and_the_bots_has_no_torch() -> None:
    assert re.findall(r"--require-hashes -r requirements/(\w+)\.txt", DOCKERFILE) == ["bot", "trainer"]
    assert not HEAVY & set(locked("bot"))
    (pinned,) = (need for need in PROJECT["optional-dependencies"]["trainer"] if need.startswith("torch"))
    (script,) = re.findall(r'"\$\((sed .+?\.toml)\)"', DOCKERFILE)
    read = subprocess.run(["sh", "-c", script], cwd=HERE, capture_output=True, text=True, check=True)
    assert read.stdout.strip() == pinned


def test_nobody_is_told_to_install_what_a_stranger_has_put_into_the_index() -> None:
    own = {"pip install darkroom", "pip install 'darkroom", 'pip install "darkroom'}
    pages = [*HERE.glob("*.md"), *(HERE / "docs").glob("*.md")]
    for path in [*pages, *(module for part in ("bot", "trainer", "storage") for module in (HERE / part).rglob("*.py"))]:
        assert not any(advice in path.read_text() for advice in own), path


def test_images_run_as_somebody_without_rights() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.M)
    final = [stage for stage in stages if re.match(r"\S+ AS (bot|trainer)\n", stage)]
    assert len(final) == 2
    assert all(re.search(r"^USER \d+$", stage, re.M) for stage in final)


def test_the_services_are_those_that_are_meant() -> None:
    assert set(SERVICES) == {"valkey", "s3", "bot", "worker"}
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.M))
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped", name
        assert ("build" in service) or re.fullmatch(r"[a-z/]+:\d+\.\d+[\w.-]+", service["image"]), (
            f"{name} has a fixed version"
        )
        assert service.get("build", {}).get("target", "bot") in targets
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), f"{name} is open to the network"
    assert SERVICES["bot"]["network_mode"] == "host", "the chat listens on loopback only"


def names_of(settings: type[SharedSettings]) -> set[str]:
    return {str(field.validation_alias) for field in settings.model_fields.values()}


def test_the_services_are_told_settings_that_exist() -> None:
    known = names_of(BotSettings) | names_of(TrainerSettings)
    for name in ("bot", "worker"):
        given = set(SERVICES[name]["environment"])
        assert {name for name in given if not name.startswith(("AWS_", "HF_"))} <= known
        assert {"REDIS_URL", "DARKROOM_STORE", "AWS_ENDPOINT_URL_S3"} <= given
    bucket = SERVICES["s3"]["environment"]["S3_BUCKET"]
    assert SERVICES["bot"]["environment"]["DARKROOM_STORE"] == f"s3://{bucket}"


def test_the_worker_is_given_the_settings_that_it_reads_and_no_tokens() -> None:
    wanted = names_of(TrainerSettings)
    given = set(SERVICES["worker"]["environment"])
    assert "env_file" not in SERVICES["worker"]
    assert wanted - given <= {"DARKROOM_HOME"}, "which is set in the image"
    assert not {name for name in given if name.startswith(("DISCORD", "SLACK"))}


def test_compose_starts_the_chats_and_what_the_hub_sends_is_kept() -> None:
    (command,) = re.findall(r"AS bot\n(?:.*\n)*?CMD (\[.+\])\n", DOCKERFILE.partition("AS bot-needs")[2])
    assert json.loads(command) == ["darkroom", "up", "--no-worker"]
    assert SERVICES["bot"]["env_file"] == ".env", "where the tokens are"
    home = re.findall(r"HF_HOME=(\S+)/hub", DOCKERFILE)
    assert SERVICES["worker"]["volumes"] == [f"worker:{home[0]}"]
    trainer = DOCKERFILE.partition(" AS trainer\n")[2]
    assert "COPY bot bot" in trainer, "for `darkroom doctor` there"


def test_secrets_come_from_the_environment_file() -> None:
    text = (HERE / "compose.yaml").read_text()
    example = dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", (HERE / ".env.example").read_text(), re.M))
    assert set(re.findall(r"\$\{(\w+)", text)) == set(example)
    assert all(re.match(r"\$\{\w+:\?", found) for found in re.findall(r"\$\{[^}]*\}", text)), "none may be left out"
    assert example == {"VALKEY_PASSWORD": "", "S3_ACCESS_KEY": "darkroom", "S3_SECRET_KEY": ""}


def test_the_queue_keeps_what_it_is_told() -> None:
    config = re.sub(r"\$\{VALKEY_PASSWORD[^}]*\}", "sesame", COMPOSE["configs"]["valkey"]["content"])
    with valkey(config=config) as url, Redis.from_url(url, password="sesame") as redis:
        assert redis.config_get("appendonly") == {"appendonly": "yes"}
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert redis.config_get("requirepass") == {"requirepass": "sesame"}


def test_docker_reads_the_compose_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("there is no docker compose here")
    (tmp_path / ".env").write_text("VALKEY_PASSWORD=a\nS3_ACCESS_KEY=b\nS3_SECRET_KEY=c\n")
    shutil.copy(HERE / "compose.yaml", tmp_path)
    said = subprocess.run(
        [docker, "compose", "config", "--format", "json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert set(json.loads(said.stdout)["services"]) == set(SERVICES)


def imports_of(module: Path) -> set[str]:
    """Top-level names of all that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("" if node.level else str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("bot", {"trainer", *UNSHIPPED, *HEAVY}),
        ("storage", {"bot", "trainer", *UNSHIPPED, *HEAVY}),
        ("trainer", {"bot", *UNSHIPPED}),
    ],
)
def test_the_import_rule(package: str, forbidden: set[str]) -> None:
    modules = sorted((HERE / package).rglob("*.py"))
    assert modules
    for module in modules:
        found = imports_of(module)
        assert not found & forbidden, module
        assert "pickle" not in found, module
        assert "" not in found, f"{module}: relative imports hide what the rule is about"


def test_bot_and_storage_import_quickly_where_there_is_no_torch() -> None:
    code = f"""
import importlib, pkgutil, sys, time
for name in {sorted({"trainer", *HEAVY})}:
    sys.modules[name] = None  # importing it raises ImportError
import bot, storage
names = [m.name for p in (bot, storage) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names), time.process_time())
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    modules, seconds = said.stdout.split()
    assert int(modules) > 10
    assert float(seconds) < IMPORT_MAX_S


def test_the_worker_is_imported_without_torch() -> None:
    code = f"""
import importlib, pkgutil, sys
for name in {sorted(HEAVY)}:
    sys.modules[name] = None  # importing it raises ImportError
import trainer.kinds, trainer.worker
for package in (trainer.kinds, trainer.worker):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
    imported = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert imported.returncode == 0, imported.stderr
