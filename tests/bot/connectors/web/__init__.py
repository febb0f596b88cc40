"""Tests of `bot/connectors/web`."""
