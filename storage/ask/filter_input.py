"""Filters of a question as people type them, and as clients of Perplexity's API send them."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Any, get_args

from storage.ask.domain_rules import DomainRule
from storage.contract.ask import DOMAINS_MAX, LANGUAGES_MAX, AskFilters, AskMode, ContextSize, Recency
from storage.errors import UserError
from storage.text import listed

SEPARATORS = re.compile(r"[\s,;]+")
ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")  # Perplexity's %m/%d/%Y
LANGUAGE = re.compile(r"([a-z]{2,3})([-_][a-z0-9]+)*")


def read_filters(
    *,
    domains: str | Iterable[str] = (),
    recency: str = "",
    after: str = "",
    before: str = "",
    updated_after: str = "",
    updated_before: str = "",
    mode: str = "",
    size: str = "",
    language: str | Iterable[str] = (),
) -> AskFilters:
    """Check what a person asks for; raises UserError. A domain that begins with a minus sign is denied."""
    allowed, denied = _domains(_items(domains))
    first, end = _days(after, before, "after", "before")
    changed_first, changed_end = _days(updated_after, updated_before, "updated_after", "updated_before")
    fields: dict[str, Any] = {
        "mode": _choice(mode, AskMode, "mode") or "web",
        "recency": _choice(recency, Recency, "recency"),
        "size": _choice(size, ContextSize, "size") or "medium",
    }
    return AskFilters(
        allowed_domains=allowed,
        denied_domains=denied,
        after=first,
        before=end,
        updated_after=changed_first,
        updated_before=changed_end,
        languages=_languages(language),
        **fields,
    )


def _days(after: str, before: str, *names: str) -> tuple[date | None, date | None]:
    """The first day, and the day after the last one; raises UserError if there is none between."""
    first, end = read_date(after, names[0]), read_date(before, names[1])
    if first and end and first >= end:
        raise UserError(f"Nothing is both after {first} and before {end}.")
    return first, end


def read_date(text: str, name: str) -> date | None:
    """Read a day, 2026-05-31 or 05/31/2026; raises UserError if there is no such day, with the option's name."""
    text = text.strip()
    if not text:
        return None
    if iso := ISO.fullmatch(text):
        year, month, day = (int(part) for part in iso.groups())
    elif american := AMERICAN.fullmatch(text):
        month, day, year = (int(part) for part in american.groups())
    else:
        raise UserError(f"`{name}` is a day, like 2026-05-31, and not “{text[:40]}”.")
    try:
        return date(year, month, day)
    except ValueError:
        raise UserError(f"`{name}` is “{text}”, but there is no such day.") from None


def _domains(items: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if len(items) > DOMAINS_MAX:
        raise UserError(f"A question takes at most {DOMAINS_MAX} domains; these are {len(items)}.")
    rules = {False: dict[str, None](), True: dict[str, None]()}
    for item in items:
        rules[item.startswith("-")][str(DomainRule.parse(item.removeprefix("-")))] = None
    both = [rule for rule in rules[False] if rule in rules[True]]
    if both:
        raise UserError(f"{listed(both)} cannot be both allowed and denied.")
    return tuple(rules[False]), tuple(rules[True])


def _languages(language: str | Iterable[str]) -> tuple[str, ...]:
    codes: dict[str, None] = {}
    for item in _items(language):
        match = LANGUAGE.fullmatch(item.lower())
        if not match:
            raise UserError(f"“{item[:40]}” is not a language code: examples are en, de and pt-br.")
        codes[match[1]] = None
    if len(codes) > LANGUAGES_MAX:
        raise UserError(f"A question takes at most {LANGUAGES_MAX} languages; these are {len(codes)}.")
    return tuple(codes)


def _items(given: str | Iterable[str]) -> list[str]:
    """Words of a text, or of a list of texts, each once."""
    parts = [given] if isinstance(given, str) else given
    return list(dict.fromkeys(item for part in parts for item in SEPARATORS.split(part.strip()) if item))


def _choice(text: str, kind: Any, name: str) -> str | None:
    word, known = text.strip().lower(), [str(each) for each in get_args(kind)]
    if word and word not in known:
        raise UserError(f"`{name}` is one of {listed(known)}, and not “{text.strip()[:40]}”.")
    return word or None
