"""Tests of `storage/ask`."""
