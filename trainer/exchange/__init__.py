"""Subjects to other programs and from them."""
