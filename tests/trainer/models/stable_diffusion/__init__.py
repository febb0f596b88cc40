"""Tests of `trainer/models/stable_diffusion`."""
