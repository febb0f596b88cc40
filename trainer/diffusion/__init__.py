"""Diffusion with a loaded model: losses, samplers, batches of pictures, images as tensors.

Nothing here knows of subjects or of DreamBooth.
"""
