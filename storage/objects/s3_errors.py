"""What an error of S3 means: which kind of failure it is, and a sentence with no requests, keys or signatures in it.

The table is `s3_errors.toml`. A sentence says what the server answered, and a cause only where the answer leaves no
other.
"""

import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import botocore.exceptions
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

from storage.data_files import read_toml
from storage.errors import Full, Missing, StoreError
from storage.failures import Failure
from storage.objects.folder_errors import is_full, os_failure
from storage.objects.s3_answers import PAGE_MARK, ForeignAnswer
from storage.text import duration

OUTAGE, PERMANENT, UNKNOWN = Failure.OUTAGE, Failure.PERMANENT, Failure.UNKNOWN
FAILURES = (BotoCoreError, ClientError, S3UploadFailedError, S3DownloadFailedError, RetriesExceededError, OSError)
NOT_THERE = {"NoSuchKey", "404"}
OF_ONE_OBJECT = {"GetObject", "HeadObject", "DeleteObject"}  # that may be missing
CONFLICTS = {"ConditionalRequestConflict", "OperationAborted", "409"}  # somebody else writes this moment
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"}


class S3ErrorMeaning(NamedTuple):
    """What an answer means, and a reason to be read after "cannot be used: "."""

    failure: Failure
    reason: str
    full: bool = False  # no room is left
    names_region: bool = False  # the answer may name the bucket's region


class S3ErrorTable:
    """What errors of S3 mean, by the server's code or by botocore's exception; and permissions by operation."""

    def __init__(self) -> None:
        data = read_toml("storage.objects", "s3_errors.toml")
        kinds = {
            **vars(botocore.exceptions),
            **{kind.__name__: kind for kind in (ForeignAnswer, S3DownloadFailedError)},
        }
        self.permissions: dict[str, str] = data["permissions"]
        self.codes: dict[str, S3ErrorMeaning] = {}
        self.exceptions: dict[type[Exception], S3ErrorMeaning] = {}
        for row in data["meaning"]:
            codes, names = row.pop("codes", ()), row.pop("exceptions", ())
            meaning = S3ErrorMeaning(Failure(row.pop("failure")), **row)
            self.codes |= dict.fromkeys(codes, meaning)
            self.exceptions |= dict.fromkeys((kinds[name] for name in names), meaning)


TABLE = S3ErrorTable()


def answer_code(error: BaseException) -> str:
    """The code of the server's answer, like NoSuchKey, or its HTTP status if it gave none; empty for other errors."""
    if not isinstance(error, ClientError):
        return ""
    return error.response["Error"].get("Code") or str(_status(error))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _headers(error: ClientError) -> dict[str, Any]:
    headers: dict[str, Any] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def unwrapped(error: BaseException) -> BaseException:
    """The error of boto3 or the system within those of s3transfer."""
    if isinstance(error, S3UploadFailedError) and error.__context__:
        error = error.__context__
    return error.last_exception if isinstance(error, RetriesExceededError) else error


def meaning_of(error: BaseException) -> S3ErrorMeaning:
    """Tell what one of FAILURES means, by the table."""
    error = unwrapped(error)
    if not isinstance(error, ClientError):
        known = next((meaning for kind, meaning in TABLE.exceptions.items() if isinstance(error, kind)), None)
        return known or S3ErrorMeaning(UNKNOWN, f"of {type(error).__name__}")
    code, status = answer_code(error), _status(error)
    if code.isdigit() and (foreign := _foreign(error, status)):
        return foreign
    if meaning := TABLE.codes.get(code):
        return meaning._replace(reason=meaning.reason.replace("WHAT", asked(error)))
    if status == 429:
        return TABLE.codes["429"]
    # Codes outside the table are of other servers than AWS: their status has to do.
    if status == 408 or (status >= 500 and status != 501):
        return S3ErrorMeaning(OUTAGE, f"it answered {code}")
    # Proxies answer 401 and 403 with codes of their own.
    kind = PERMANENT if status in (401, 403) else UNKNOWN
    return S3ErrorMeaning(kind, f"it answered {code} to {asked(error)}")


def _foreign(error: ClientError, status: int) -> S3ErrorMeaning | None:
    """The meaning of an answer that does not look like one of S3: a redirect to elsewhere, a web page."""
    there = str(_headers(error).get("location", ""))
    if status in (301, 302, 303, 307, 308) and "://" in there and not region_of(error):
        says = f"it answered {status}, and points to {without_password(there)}; AWS_ENDPOINT_URL_S3 may not be right"
        return S3ErrorMeaning(PERMANENT if status in (301, 308) else UNKNOWN, says)
    is_page = error.response.get("ResponseMetadata", {}).get(PAGE_MARK)
    if is_page and status < 500 and status not in (408, 429):
        return S3ErrorMeaning(UNKNOWN, f"it answered {status} to {asked(error)}, with a web page")
    return None


def is_missing(error: BaseException) -> bool:
    """Whether an answer says that there is no object of that name."""
    if not isinstance(error, ClientError) or answer_code(error) not in NOT_THERE:
        return False
    return answer_code(error) == "NoSuchKey" or (asked(error) in OF_ONE_OBJECT and not _foreign(error, _status(error)))


def asked(error: ClientError) -> str:
    """What was asked for, in the protocol's words."""
    return str(error.operation_name or "a request")


def store_error(error: BaseException, server: str, bucket: str, key: str) -> StoreError:
    """Return the StoreError that says what `error`, one of FAILURES, means for the object `key`."""
    error = unwrapped(error)
    if is_missing(error):
        return Missing(f"There is no object {key!r}.")
    if isinstance(error, OSError) and not isinstance(error, tuple(TABLE.exceptions)):  # the file on our side
        kind = Full if is_full(error) else StoreError
        return kind(f"The file {error.filename or key} failed: {error.strerror or error}.", os_failure(error))
    meaning = meaning_of(error)
    right = TABLE.permissions.get(asked(error), "s3:PutObject") if isinstance(error, ClientError) else ""
    reason = meaning.reason.replace("BUCKET", bucket).replace("RIGHT", right).replace("CLOCKS", clock_difference(error))
    region = region_of(error) if meaning.names_region else ""
    reason += f"; it names the region {region}" if region else ""
    is_507 = isinstance(error, ClientError) and _status(error) == 507
    kind = Full if meaning.full or is_507 else StoreError
    return kind(f"The S3 server {without_password(server)} cannot be used: {reason}.", meaning.failure)


def clock_difference(error: BaseException, now_s: float | None = None) -> str:
    """By how much our clock is ahead of the server's, or behind, as the end of a sentence; empty if nobody can tell."""
    if not isinstance(error, ClientError):
        return ""
    try:
        theirs_s = parsedate_to_datetime(str(_headers(error).get("date", ""))).timestamp()
    except ValueError:
        return ""
    ahead_s = (time.time() if now_s is None else now_s) - theirs_s
    return f": ours is {duration(abs(ahead_s))} {'ahead' if ahead_s > 0 else 'behind'}"


def region_of(error: BaseException) -> str:
    """The bucket's region, if the answer names it."""
    if not isinstance(error, ClientError):
        return ""
    named = error.response["Error"].get("Region") or _headers(error).get("x-amz-bucket-region", "")
    return str(named) if str(named).replace("-", "").isalnum() else ""


def without_password(url: str) -> str:
    """Return scheme, host and port of a URL only."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
