"""Tests of `bot/local`."""
