"""Kinds of failure of a service that Darkroom uses: Discord, Slack, Redis, S3.

Each service has one table that maps its codes and exceptions to one of these; nothing else decides whether to retry.
"""

from enum import StrEnum


class Failure(StrEnum):
    """What a failed request means for whoever made it."""

    OUTAGE = "outage"  # transient: wait and retry for as long as it takes
    PERMANENT = "permanent"  # will not change by itself: tell the person, and end
    UNKNOWN = "unknown"  # in no table: retry for a bounded time, then tell the person and log it
