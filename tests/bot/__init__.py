"""Tests of `bot`, folder by folder."""
