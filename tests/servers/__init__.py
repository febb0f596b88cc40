"""Fake and local servers for tests: Discord, Slack, a model hub, S3, Redis; README.md says how to use each.

They are strict, and import nothing of `bot` or `trainer`.
"""
