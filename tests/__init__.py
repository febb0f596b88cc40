"""Tests by feature, over real parts: servers, browsers and processes that `tests.servers` starts."""
