"""Domain rules: which sites, or parts of sites, may be sources.

A rule is a host with its subdomains (`python.org`), a suffix (`.gov`), or a host with the beginning of a path
(`github.com/python`); a URL is read as host and path. Perplexity's `search_domain_filter` takes the same.
`www.python.org` is the same as `python.org`; but `www.gov.uk` is that site alone, and not all sites below `gov.uk`.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import idna

from storage.contract.ask import AskFilters
from storage.errors import UserError

HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
IPV6 = re.compile(r"\[[0-9a-f:.]+\]")
SHARED = re.compile(  # under which sites have nothing in common, as the Public Suffix List has them
    r"(?:ac|co|com|edu|go|gob|gouv|gov|govt|gv|mil|ne|net|nhs|or|org|police|sch)\.[a-z]{2}"
)
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class DomainRule:
    """One rule. `host` is in ASCII (IDNA); with `suffix_only`, only its subdomains match."""

    host: str
    port: int | None = None
    path: str = ""
    suffix_only: bool = False

    @classmethod
    def parse(cls, text: str) -> "DomainRule":
        """Read a rule; raises UserError.

        >>> str(DomainRule.parse("https://www.Python.org/dev/?q=1")), str(DomainRule.parse(".gov"))
        ('python.org/dev', '.gov')
        """
        written = text.strip()
        suffix_only = written.startswith((".", "*."))
        bare = written.removeprefix("*").removeprefix(".")
        try:
            parts = urlsplit(bare if "://" in bare else f"//{bare}")
            host, port = ascii_host(parts.hostname or ""), parts.port
        except ValueError:
            host, port = "", None
        if not host or parts.scheme not in ("", "http", "https") or "@" in parts.netloc:
            raise UserError(f"“{written[:100]}” is not a domain: examples are python.org, .gov and github.com/python.")
        is_site = SHARED.fullmatch(without_www(host)) and not suffix_only
        return cls(host if is_site else without_www(host), port, _path(parts.path), suffix_only)

    def __str__(self) -> str:
        """The rule as it is stored and shown."""
        return f"{'.' * self.suffix_only}{self.host}{f':{self.port}' if self.port else ''}{self.path}"

    def matches(self, url: str) -> bool:
        """Whether a page is on this site, and in this part of it."""
        try:
            parts = urlsplit(url)
            host = without_www(ascii_host(parts.hostname or ""))
            port = parts.port or PORTS.get(parts.scheme)
        except ValueError:
            return False
        if not (host.endswith(f".{self.host}") or (host == without_www(self.host) and not self.suffix_only)):
            return False
        path = _path(parts.path)
        return (self.port in (None, port)) and (path == self.path or path.startswith(f"{self.path}/"))


def ascii_host(host: str) -> str:
    """A host name in lower-case ASCII without a final dot; raises ValueError if it is none."""
    host = host.lower().removesuffix(".")
    if ":" in host:
        host = f"[{host}]"
        if not IPV6.fullmatch(host):
            raise ValueError("no address")
        return host
    # As browsers read it (UTS 46): “straße.de” is not “strasse.de”. An IDNAError is a ValueError.
    host = host if host.isascii() else idna.encode(host, uts46=True).decode()
    if not HOST.fullmatch(host):
        raise ValueError("no host name")
    return host


def without_www(host: str) -> str:
    """A host without `www.`, which sites have or leave out at will."""
    return host.removeprefix("www.") if host.count(".") > 1 else host


def admits(filters: AskFilters, url: str) -> bool:
    """Whether the domain rules let a page be a source; a denial outweighs everything."""
    if any(DomainRule.parse(rule).matches(url) for rule in filters.denied_domains):
        return False
    allowed = filters.allowed_domains
    return not allowed or any(DomainRule.parse(rule).matches(url) for rule in allowed)


def _path(path: str) -> str:
    """A path without dot segments, doubled slashes and percent signs that mean nothing, for comparisons."""
    segments: list[str] = []
    for segment in unquote(path).split("/"):
        if segment == "..":
            segments[-1:] = []
        elif segment not in ("", "."):
            segments.append(segment)
    return "/" + "/".join(segments) if segments else ""
