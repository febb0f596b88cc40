"""Tests of `bot/connectors/slack`."""
