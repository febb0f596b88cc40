"""The engine's process: the resident base model, and a scheduler of trainings and drawings.

It reads and writes local files only, and knows neither Redis nor the object store.
"""
