"""Tests of `trainer/engine`."""
