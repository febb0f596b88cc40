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
OBJECTS = {"GetObject", "HeadObject"}  # may be web pages themselves


class ForeignAnswer(BotoCoreError):  # type: ignore[misc]
    """A successful answer that no S3 server gives."""

    fmt = "no answer of S3 to {operation}"


def check_answer(http_response: Any, parsed: dict[str, Any], model: Any, **_: object) -> None:
    """Raise ForeignAnswer for a success that S3 would have put otherwise."""
    if http_response.status_code >= 300:
        return
    always = ALWAYS.get(model.name, set())
    says_nothing = always and not always & parsed.keys()
    page = model.name not in OBJECTS and is_page(http_response.headers)
    goes_on_nowhere = parsed.get("IsTruncated") and not parsed.get("NextContinuationToken")
    if says_nothing or page or (model.name == "ListObjectsV2" and goes_on_nowhere):
        raise ForeignAnswer(operation=model.name)


def is_page(headers: Any) -> bool:
    """Whether an answer is a web page, by its headers."""
    return str(headers.get("content-type", "")).lower().startswith("text/html")


def redirect_once(context: dict[str, Any], **_: object) -> None:
    """Have botocore not follow redirects of the request by which it looks where a redirect leads: it would never end.

    HeadBucket is asked for nothing else.
    """
    context.get("s3_redirect", {})["redirected"] = True
