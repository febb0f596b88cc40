"""Tests of `trainer/models/flux2_klein`."""
