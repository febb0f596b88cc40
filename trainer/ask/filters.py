"""Filters of a question, enforced on what came back: search engines take them for a wish."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from storage.contract.ask import AskFilters, Recency, Source

WINDOWS: dict[Recency, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
    "year": timedelta(days=366),
}


def day_of(value: Any) -> date | None:
    """The day of a date as pages and providers write it, ISO 8601 at its beginning; None for anything else."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def has_date_filter(filters: AskFilters) -> bool:
    """Whether the question is about a time, so that a page without a date cannot be admitted."""
    return bool(filters.after or filters.before or filters.recency or filters.updated_after or filters.updated_before)


def first_day(filters: AskFilters, now: datetime | None = None) -> date | None:
    """The first day that is admitted; dates of pages are days, so the last hour begins with its day."""
    days = [filters.after] if filters.after else []
    if filters.recency:
        days.append(((now or datetime.now(UTC)) - WINDOWS[filters.recency]).date())
    return max(days, default=None)


def admits_date(filters: AskFilters, published: date | None, now: datetime | None = None) -> bool:
    """Whether a page of that day is admitted; None, a page without a date, only if no date is asked for."""
    if published is None:
        return not has_date_filter(filters)
    first = first_day(filters, now)
    return not ((first and published < first) or (filters.before and published >= filters.before))


def admits_days(filters: AskFilters, source: Source, now: datetime | None = None) -> bool:
    """Whether a source is admitted by the days on which it was published and last changed."""
    changed = source.updated or source.published
    first, end = filters.updated_after, filters.updated_before
    is_outside = changed is not None and ((first and changed < first) or (end and changed >= end))
    return not is_outside and admits_date(filters, source.published or source.updated, now)


def admits_language(filters: AskFilters, language: str) -> bool:
    """Whether a page in that language is admitted; one that does not say its language is."""
    code = language.replace("_", "-").partition("-")[0].lower()
    return not filters.languages or not code or code in filters.languages
