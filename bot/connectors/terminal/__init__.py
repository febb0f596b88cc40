"""The terminal as a front end: a command becomes a request, replies become a progress bar and a result.

The `darkroom` command itself is in `bot/cli`.
"""
