"""The command registry and the handler of each command, with the texts of its replies.

Handlers yield neutral replies, and know no chat platform.
"""
