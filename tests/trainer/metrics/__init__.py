"""Tests of `trainer/metrics`."""
