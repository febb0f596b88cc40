"""Answers as messages: citation markers as links in each platform's markup, and long answers in several messages."""
