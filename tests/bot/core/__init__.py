"""Tests of `bot/core`."""
