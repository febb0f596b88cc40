"""The text of a page or a document, with its title and dates. Runs in a process of its own: see `extractor_process`."""

import io
import re
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from storage.ask.pdf_check import DAMAGED, ENCRYPTED, SCAN
from trainer.ask.pages.charset import decoded
from trainer.ask.pages.hidden import drop_hidden
from trainer.ask.pages.structure import keep_structure
from trainer.ask.pages.unwrap import unwrapped

TEXT_MAX = 400_000  # characters that are kept of one text
PDF_PAGES_MAX = 300
INVISIBLE = re.compile(  # characters that nobody sees, in which orders are smuggled, and which tear words apart
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


@dataclass(frozen=True)
class Extracted:
    """What a text says, and what it says of itself. Dates are ISO 8601 days or empty."""

    text: str = ""
    title: str = ""
    site: str = ""
    published: str = ""
    updated: str = ""
    language: str = ""
    canonical_url: str = ""
    trouble: str = ""  # why there is no text, to be read after its name: “is encrypted”
    may_pass: bool = False  # whether the trouble may be gone another time: it took too long, or too much memory

    def as_json(self) -> dict[str, Any]:
        """Its fields, for the pipe between the processes and for the cache."""
        return asdict(self)


def extract(data: bytes, media_type: str, charset: str = "", url: str = "") -> Extracted:
    """Extract the text of HTML, a PDF, Markdown or plain text; a file that has none says why."""
    if media_type == "application/pdf":
        return _pdf(data)
    text = INVISIBLE.sub("", decoded(data, charset))
    if media_type in ("text/html", "application/xhtml+xml"):
        return _html(text, url)
    return _plain(text, is_markdown=media_type == "text/markdown")


def _html(text: str, url: str) -> Extracted:
    import trafilatura
    from lxml import html

    try:
        tree = trafilatura.load_html(text)
    except (ValueError, html.etree.ParserError):
        tree = None
    if tree is None:
        return Extracted(trouble="has no text")
    language = str(tree.get("lang") or "")
    drop_hidden(tree)
    keep_structure(tree)
    published, updated = _dates(tree, url)
    document: Any = trafilatura.bare_extraction(
        tree, url=url or None, fast=True, favor_recall=True, include_comments=False, include_tables=True,
        with_metadata=True,
    )  # fmt: skip
    body = str(document.text or "") if document else ""
    if not body.strip():
        body = str(trafilatura.html2txt(tree) or "")
    if not body.strip():
        return Extracted(trouble="has no text")
    return Extracted(
        text=body[:TEXT_MAX],
        title=str((document and document.title) or tree.findtext(".//title") or "").strip("# \t\n")[:300],
        site=str((document and document.sitename) or "")[:100],
        published=published,
        updated=updated,
        language=language[:16],
        canonical_url=_canonical(tree, url),
    )


def _dates(tree: Any, url: str) -> tuple[str, str]:
    """Days on which a page was published and last changed, where it says so."""
    from htmldate import find_date

    options: dict[str, Any] = {"url": url or None, "extensive_search": False}
    published = find_date(tree, original_date=True, **options) or ""
    updated = find_date(tree, original_date=False, **options) or ""
    return published, updated if updated != published else ""


def _canonical(tree: Any, url: str) -> str:
    found = tree.xpath("//link[@rel='canonical']/@href")
    canonical = str(found[0]).strip() if found else ""
    return canonical if urlsplit(canonical).scheme in ("http", "https") and canonical != url else ""


def _pdf(data: bytes) -> Extracted:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return Extracted(trouble=ENCRYPTED)
        parts, size = [], 0
        for page in reader.pages[:PDF_PAGES_MAX]:
            parts.append(unwrapped(INVISIBLE.sub("", page.extract_text()).strip()))
            size += len(parts[-1])
            if size > TEXT_MAX:
                break
        title, day = _pdf_metadata(reader)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, NotImplementedError) as error:
        encrypted = "crypt" in f"{type(error).__name__} {error}".lower()
        return Extracted(trouble=ENCRYPTED if encrypted else DAMAGED)
    text = "\n\n".join(filter(None, parts))
    if not text:
        return Extracted(trouble=SCAN)
    return Extracted(text=text[:TEXT_MAX], title=title, published=day)


def _pdf_metadata(reader: Any) -> tuple[str, str]:
    try:
        metadata = reader.metadata
        day = metadata.creation_date.date() if metadata and metadata.creation_date else None
    except (ValueError, AttributeError, TypeError):
        return "", ""
    title = str(metadata.title or "").strip()[:300] if metadata else ""
    return title, day.isoformat() if isinstance(day, date) else ""


def _plain(text: str, is_markdown: bool) -> Extracted:
    text = text.replace("\r\n", "\n").replace("\0", "")[:TEXT_MAX]
    if not text.strip():
        return Extracted(trouble="has no text")
    heading = HEADING.search(text) if is_markdown else None
    return Extracted(text=unwrapped(text, is_markdown), title=heading[1][:300] if heading else "")
