"""Why a page was not had."""


class PageRefused(Exception):
    """A page was not fetched or cannot be read; the message says why, to be read after “this page”: “is too large”."""


class AddressRefused(PageRefused):
    """The URL leads, or may lead, into a private network or to a port or scheme that is not the web's."""
