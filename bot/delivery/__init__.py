"""Messages that follow a job to its end: posts, retries, rate limits, resume after a restart.

It talks to chats through `Poster` alone.
"""
