"""Documents as sources."""

import hashlib
from datetime import date
from urllib.parse import quote

from storage.contract.ask import Source
from trainer.ask.pages.extract import Extracted


def document_source(name: str, extracted: Extracted, site: str, collection: str = "document") -> Source:
    """A document as a source; its URL is no place on the web: `document:` and its name.

    Documents of one name in two collections are two sources.
    """
    return Source(
        id=hashlib.sha256(f"{collection}:{name}".encode()).hexdigest()[:16],
        url=f"document:{quote(name)}"[:2000],
        title=extracted.title or name,
        site=site,
        published=iso_day(extracted.published),
        updated=iso_day(extracted.updated),
        kind="document",
    )


def iso_day(text: str) -> date | None:
    """A day in ISO 8601; None for anything else."""
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None
