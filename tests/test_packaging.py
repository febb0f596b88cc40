"""The container files hang together, and the parts import only what they may."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from redis import Redis

from storage.settings import Settings
from tests.servers import valkey

HERE = Path(__file__).parent.parent
DOCKERFILE = (HERE / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
SERVICES = COMPOSE["services"]
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "safetensors", "tokenizers"}
IMPORT_MAX_S = 3  # of processor time: what a person waits for who types a command


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


def test_the_images_install_what_the_project_names() -> None:
    commands = re.findall(r'^RUN python -c "(.+)" > needs.txt', DOCKERFILE, re.M)
    printed = [
        subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True).stdout
        for code in commands
    ]
    extras = PROJECT["optional-dependencies"]
    wanted = [PROJECT["dependencies"], [*extras["trainer"], *extras["tensorboard"]]]
    assert [text.splitlines() for text in printed] == wanted
    assert not any(re.match(r"[a-z-]+", need)[0] in HEAVY for need in PROJECT["dependencies"])


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
        assert ("build" in service) or re.fullmatch(r"[a-z/]+:[\w.-]+", service["image"]), f"{name} has a fixed version"
        assert service.get("build", {}).get("target", "bot") in targets
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), f"{name} is open to the network"
    assert SERVICES["bot"]["network_mode"] == "host", "the chat listens on loopback only"


def test_the_services_are_told_settings_that_exist() -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    for name in ("bot", "worker"):
        given = set(SERVICES[name]["environment"])
        assert {name for name in given if not name.startswith("AWS_")} <= known
        assert {"REDIS_URL", "DARKROOM_STORE", "AWS_ENDPOINT_URL_S3"} <= given
    bucket = SERVICES["s3"]["environment"]["S3_BUCKET"]
    assert SERVICES["bot"]["environment"]["DARKROOM_STORE"] == f"s3://{bucket}"


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
    [("bot", {"trainer", *HEAVY}), ("storage", {"bot", "trainer", *HEAVY}), ("trainer", {"bot"})],
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
