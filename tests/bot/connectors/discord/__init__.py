"""Tests of `bot/connectors/discord`."""
