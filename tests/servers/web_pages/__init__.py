"""The pages of the small web that `tests.servers.web` serves, and questions whose answers on them are known."""
