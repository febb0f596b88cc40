"""Tests of `storage/lifecycle`."""
