"""Tests of `trainer/dreambooth`."""
