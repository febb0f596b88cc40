"""Memory: what a device has, estimates of what a model needs, ways to fit, and what is done when it runs out.

Nothing here loads weights.
"""
