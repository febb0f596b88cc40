"""Authority: sources that are close to what they tell of rank before those that repeat it."""

import itertools
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from storage.ask.domain_rules import without_www
from trainer.ask.ranking.source_text import SourceText

OFFICIAL_SUFFIXES = (".gov", ".edu", ".mil", ".int")
OFFICIAL_PARTS = re.compile(r"\.(gov|gouv|edu|ac|admin|bund)\.[a-z]{2}$")
WORD = re.compile(r"[^\W_]{3,}")
GENERIC = {"www", "docs", "wiki", "blog", "news", "com", "org", "net", "info", "the", "what", "how", "who", "example"}


def is_own_site(question: str, url: str) -> bool:
    """Whether a site has the name of what is asked about: python.org for Python."""
    host = without_www(urlsplit(url).hostname or "")
    labels = {part for label in host.split(".")[:-1] for part in (label, *label.split("-"))} - GENERIC
    asked = [word.casefold() for word in WORD.findall(question)]
    names = {*asked, *(f"{a}{b}" for a, b in itertools.pairwise(asked))} - GENERIC
    names |= {f"{a}-{b}" for a, b in itertools.pairwise(asked)}
    return bool(labels & names)


def is_official(url: str) -> bool:
    """Whether a site is one of a government, a university or an international body."""
    host = urlsplit(url).hostname or ""
    return host.endswith(OFFICIAL_SUFFIXES) or bool(OFFICIAL_PARTS.search(host))


def referred_to(text: SourceText, texts: Sequence[SourceText]) -> int:
    """How many other sites name this one's host in their text."""
    host = without_www(urlsplit(text.source.url).hostname or "")
    if "." not in host or host.replace(".", "").isdigit():
        return 0
    return sum(host in other.text for other in texts if other.source.site != text.source.site)
