"""Documents as sources."""

import hashlib
from urllib.parse import quote

from storage.contract.ask import Source
from trainer.ask.filters import day_of
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
        published=day_of(extracted.published),
        updated=day_of(extracted.updated),
        kind="document",
    )
