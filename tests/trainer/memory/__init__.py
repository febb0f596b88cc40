"""Tests of `trainer/memory`."""
