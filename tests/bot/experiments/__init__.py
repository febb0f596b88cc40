"""Tests of `bot/experiments`."""
