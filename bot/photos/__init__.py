"""Photo intake: fetching, decoding in a process that may be killed, vetting, cropping, captions.

No untrusted byte is decoded in the bot's own process.
"""
