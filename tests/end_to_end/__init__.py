"""Whole deployments with real processes, from a person's words to what they see.

What one folder of the code can show by itself is tested there.
"""
