"""Base models: where they come from, the file formats they are in, and the loaded networks.

Nothing here trains or samples.
"""
