"""Stable Diffusion 1.x, 2.x and XL, and Toyworld, which is built like the first: networks, files, settings.

`family.py` is what others ask before a model is loaded, `model.py` what they do with one. Nothing else is imported from
outside.
"""
