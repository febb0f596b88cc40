"""Toyworld's drawn scenes, its pretraining, and the scripts behind `docs/benchmarks.md`.

It may import `trainer`, and nothing of it is needed at run time.
"""
