"""Tests of `trainer/conversion`."""
