"""A Discord for tests: gateway, REST and CDN on one local port, as strict as the real one, with people who use it.

| file | is |
|---|---|
| contract.py | Discord's own description, against which each request is held |
| world.py | people, channels, messages, interactions |
| server.py | takes requests, notes violations |
| rest.py, messages.py | what each route does; how a request becomes a message |
| gateway.py, files.py | events; the CDN |
| faults.py | errors that a test plans |
| people.py | the driver: `slash`, `press`, `submit`, `complete` |
"""

from tests.servers.discord.faults import Trouble, cloudflare, too_fast
from tests.servers.discord.files import File
from tests.servers.discord.people import Discord, discord_server

__all__ = ["Discord", "File", "Trouble", "cloudflare", "discord_server", "too_fast"]
