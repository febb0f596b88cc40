"""Tests of `trainer`, folder by folder."""
