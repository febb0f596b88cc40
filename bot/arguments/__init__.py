"""Arguments of commands: declared once, parsed, validated, and shown as forms.

Nothing here runs a command or talks to a chat.
"""
