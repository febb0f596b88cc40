"""Tests of `trainer/worker`."""
