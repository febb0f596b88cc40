"""Tests of `trainer/toyworld`."""
