"""Tests of `bot/arguments`."""
