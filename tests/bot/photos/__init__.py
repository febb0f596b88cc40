"""Tests of `bot/photos`."""
