"""The local web chat: its server, chat, gallery, and the page in the browser.

It serves this machine only, and knows one person.
"""
