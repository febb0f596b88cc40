"""The local web chat behind `bot/on_web.py`: its messages, its gallery, what it answers to its page."""
