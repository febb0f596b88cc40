"""Figures of Darkroom: `python -m tests.bench`."""
