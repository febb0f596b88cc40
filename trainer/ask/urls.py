"""URLs: one spelling for each page, and the id of a source."""

import hashlib
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from storage.contract.ask import URL_MAX

TRACKING = re.compile(
    r"utm_.*|(fb|g|gb|wb|dc|ms|tw|yc)clid|gclsrc|mc_[ce]id|_ga|_gl|igshid|ref|ref_src|ref_url|source|spm|cmpid|ocid|"
    r"mkt_tok|vero_id|_hsenc|_hsmi|hsctatracking|oly_(anon|enc)_id|rb_clickid|s_cid|wickedid|srsltid",
    re.IGNORECASE,
)
PORTS = {"http": 80, "https": 443}


def normalised_url(url: str) -> str:
    """A URL without what makes no other page: fragment, tracking parameters, standard port, upper case in the host.

    >>> normalised_url("HTTP://Example.org:80/a?utm_source=x&id=3#top")
    'http://example.org/a?id=3'
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return url.strip()
    if ":" in host:
        host = f"[{host}]"
    place = f"{host}:{port}" if port and port != PORTS.get(parts.scheme) else host
    if parts.username is not None or parts.password is not None:
        place = f"{parts.netloc.rpartition('@')[0]}@{place}"  # it stays what it is, and the guard refuses it
    query = [(name, value) for name, value in parse_qsl(parts.query, True) if not TRACKING.fullmatch(name)]
    return urlunsplit((parts.scheme, place, parts.path or "/", urlencode(query), ""))


def is_web_url(url: str) -> bool:
    """Whether it is a URL of the web that can be taken apart, and is not absurdly long."""
    try:
        parts = urlsplit(url.strip())
        return parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0 and len(url) <= URL_MAX
    except ValueError:
        return False


def page_key(url: str) -> str:
    """What is the same for two addresses of one page: without scheme, `www.` and a slash at the end."""
    parts = urlsplit(normalised_url(url))
    return f"{parts.netloc.removeprefix('www.')}{parts.path.rstrip('/')}?{parts.query}"


def source_id(url: str) -> str:
    """The id of a source: the same for all addresses of a page."""
    return hashlib.sha256(page_key(url).encode()).hexdigest()[:16]
