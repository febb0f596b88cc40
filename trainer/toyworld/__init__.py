"""Toyworld: a small drawn world, and the small real Stable Diffusion that is trained on it."""
