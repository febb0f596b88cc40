"""A whole deployment on a Redis that allows it little: a user without INFO, keys of one prefix."""

from pathlib import Path

import pytest
from redis import Redis

from bot.app import Darkroom
from storage.queue.redis_probe import probe_redis
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.conftest import Chat, start_worker, stop_worker
from tests.servers.redis import port_of, valkey_tcp

RIGHTS = "on >pw ~acme:darkroom:* ~acme:arq:* &acme:darkroom:* +@all -@admin -@dangerous".split()
OF_CONNECTIONS = {"auth", "client|setinfo", "select", "hello", "ping", "info", "unsubscribe"}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_pictures_are_drawn_with_the_documented_rights_and_by_commands_that_the_probe_tries(
    micro_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey_tcp() as admin:
        admin.execute_command("ACL", "SETUSER", "bot", *RIGHTS)
        environment = {
            "DARKROOM_HOME": str(tmp_path),
            "REDIS_URL": f"redis://bot:pw@127.0.0.1:{port_of(admin)}/0",
            "DARKROOM_REDIS_PREFIX": "acme:",
            "DARKROOM_BASE_MODEL": str(micro_model),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings = load_settings(BotSettings)
        app = await Darkroom.open(settings, settings.redis_url)
        admin.config_resetstat()
        await probe_redis(app.redis)
        tried = commands(admin)
        worker = start_worker(environment)
        try:
            *_, last = await Chat(app)("imagine", prompt="a dog", count=1, steps=1)
            assert last.state == "done", last.text
        finally:
            stop_worker(worker)
            await app.close()
        assert commands(admin) - tried - OF_CONNECTIONS == set()
        denied = {str(entry["object"]) for entry in admin.acl_log()}
        assert denied <= {"info"}, "nothing but what the probe may do without"
        assert all(key.startswith(b"acme:") for key in admin.scan_iter())


def commands(admin: Redis) -> set[str]:
    """What clients other than the administrator were told to do, and scripts."""
    told = admin.info("commandstats")
    ours = {"cmdstat_config|resetstat", "cmdstat_acl|setuser", "cmdstat_info", "cmdstat_scan"}
    return {name.removeprefix("cmdstat_") for name in told if name not in ours}
