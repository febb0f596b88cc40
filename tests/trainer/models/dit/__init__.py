"""Tests of diffusion transformers: all families of them, against diffusers' own pipelines."""
