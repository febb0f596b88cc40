"""Helpers and fixtures that several tests share: processes, micro models, photos, front ends as a person uses them.

No test stands here.
"""
