"""Answers that come from something other than an S3 server: a maintenance page, a login page, another web server.

They come with status 200 as well, and botocore reads such a page as success with nothing in it: as a write that was
done, or as an empty listing. So whatever S3 always says has to be there.
"""

from typing import Any

from botocore.exceptions import BotoCoreError

ALWAYS = {  # by operation: fields of which an answer of S3 has at least one
    "PutObject": {"ETag"},
    "GetObject": {"ETag"},
    "HeadObject": {"ETag"},
    "UploadPart": {"ETag"},
    "CreateMultipartUpload": {"UploadId"},
    "CompleteMultipartUpload": {"ETag"},
    "ListObjectsV2": {"IsTruncated", "KeyCount", "Name"},
}
OBJECTS = {"GetObject", "HeadObject"}  # whose body is an object, which may be a web page itself
PAGE = (b"<!doctype html", b"<html")
PAGE_MARK = "WebPage"  # in ResponseMetadata of errors, for s3_errors.py


class ForeignAnswer(BotoCoreError):
    """A successful answer that no S3 server gives."""

    fmt = "no answer of S3 to {operation}"


def check_answer(http_response: Any, parsed: dict[str, Any], model: Any, **_: object) -> None:
    """Raise ForeignAnswer for a success that S3 would have put otherwise; mark an error that is a web page."""
    if http_response.status_code >= 300:
        parsed.setdefault("ResponseMetadata", {})[PAGE_MARK] = _is_page(http_response.content)
        return
    always = ALWAYS.get(model.name, set())
    says_nothing = always and not always & parsed.keys()
    page = model.name not in OBJECTS and _is_page(http_response.content)
    goes_on_nowhere = parsed.get("IsTruncated") and not parsed.get("NextContinuationToken")
    if says_nothing or page or (model.name == "ListObjectsV2" and goes_on_nowhere):
        raise ForeignAnswer(operation=model.name)


def _is_page(body: bytes) -> bool:
    # By the body: some servers call an empty answer text/html.
    return body[:200].lstrip().lower().startswith(PAGE)


def redirect_once(context: dict[str, Any], **_: object) -> None:
    """Have botocore not follow redirects of the request by which it looks where a redirect leads: it would never end.

    HeadBucket is asked for nothing else.
    """
    context.get("s3_redirect", {})["redirected"] = True
