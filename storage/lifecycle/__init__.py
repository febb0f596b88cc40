"""What follows from records: finalizing jobs, reconciling, erasure, retention, garbage collection, indexes.

Every step is idempotent, and none talks to a chat or computes with tensors.
"""
