"""Slack: what is heard there becomes requests, and replies become its messages."""
