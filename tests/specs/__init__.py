"""Descriptions of the platforms, as their makers publish them, trimmed to what we use."""
