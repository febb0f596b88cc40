"""Batches of trainings from one file: sweeps, evaluations, several subjects together.

They use the same commands and queue as people do.
"""
