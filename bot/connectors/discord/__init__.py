"""Discord: interactions become requests, and replies become its messages. Only this folder imports discord.py."""
