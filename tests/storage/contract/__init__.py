"""Tests of `storage/contract`."""
