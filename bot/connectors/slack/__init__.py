"""Slack: events become requests, and replies become its blocks. Only this folder imports slack-bolt."""
