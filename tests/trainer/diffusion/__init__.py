"""Tests of `trainer/diffusion`."""
