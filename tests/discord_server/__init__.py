"""A Discord for tests: gateway, REST and CDN on one local port, as strict as the real one, with people who use it.

| file | is |
|---|---|
| contract.py | Discord's own description, against which each request is held |
| world.py | people, channels, messages, interactions |
| server.py | takes requests, notes violations |
| rest.py, saying.py | what each route does; how a request becomes a message |
| gateway.py, files.py | events; the CDN |
| troubles.py | errors that a test plans |
| people.py | the driver: `slash`, `press`, `submit`, `complete` |
"""

from tests.discord_server.files import File
from tests.discord_server.people import Discord, discord_server
from tests.discord_server.troubles import Trouble, cloudflare, too_fast

__all__ = ["Discord", "File", "Trouble", "cloudflare", "discord_server", "too_fast"]
