"""Generators of the reference pages in `docs/`: `make docs`.

Not part of the wheel, and the product may not import it.
"""
