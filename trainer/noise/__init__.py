"""Noise processes: how noise is added, what a network predicts, and the scheduler that samples; DDPM and flow matching.

Nothing here knows of networks or images.
"""
