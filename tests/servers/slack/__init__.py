"""A Slack of our own for tests: Web API, Socket Mode, signed HTTP and file host, strict about the rules.

`SlackServer` answers the bot, `Slack` (tests/servers/slack/people.py) does what people do. Whatever breaks a rule is
noted in `Workspace.violations`, and a test that ends with one fails.
"""

from tests.servers.slack.people import Slack
from tests.servers.slack.server import SlackServer

__all__ = ["Slack", "SlackServer"]
