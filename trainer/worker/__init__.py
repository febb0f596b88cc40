"""The worker: leases, attempts, retry limits, files, uploads, and the client of the engine's process.

No torch may be imported here, so that a worker without a GPU stays small.
"""
