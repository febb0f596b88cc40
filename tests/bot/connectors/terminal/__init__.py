"""Tests of `bot/connectors/terminal`."""
