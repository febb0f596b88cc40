"""The engine's process: the resident base model, its inbox of tasks, and what it does for each kind of task.

It reads and writes local files only, and knows neither Redis nor the object store.
"""
