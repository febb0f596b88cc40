"""Tests of `storage`, folder by folder."""
