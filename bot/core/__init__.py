"""What every front end shares: messages, requests, dispatch of jobs, the access policy, limits, dedupe.

No command and no chat platform may be named here.
"""
