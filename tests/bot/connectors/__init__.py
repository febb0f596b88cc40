"""Tests of `bot/connectors`."""
