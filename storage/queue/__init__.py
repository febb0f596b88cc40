"""Redis: connections, the job queues with fair turns, progress, heartbeats.

Nothing may be kept here that cannot be rebuilt from the object store.
"""
