"""Toyworld, the base model that ships: its weights, its judge, and the words it knows.

What makes and measures it is in `research/toyworld`, and stays out of the wheel.
"""
