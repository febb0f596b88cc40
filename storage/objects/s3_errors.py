"""What an error of S3 means: which kind of failure it is, and a sentence with no requests, keys or signatures in it.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and those of other servers. A sentence says
what the server answered, and a cause only where the answer leaves no other.
"""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

from storage.errors import Full, Missing, StoreError
from storage.failures import Failure
from storage.objects.folder_errors import is_full, os_failure
from storage.objects.s3_answers import PAGE_MARK, ForeignAnswer

OUTAGE, PERMANENT, UNKNOWN = Failure.OUTAGE, Failure.PERMANENT, Failure.UNKNOWN
FAILURES = (BotoCoreError, ClientError, S3UploadFailedError, S3DownloadFailedError, RetriesExceededError, OSError)
NOT_THERE = {"NoSuchKey", "404"}
OF_ONE_OBJECT = {"GetObject", "HeadObject", "DeleteObject"}  # that may be missing
CONFLICTS = {"ConditionalRequestConflict", "OperationAborted", "409"}  # somebody else writes this moment
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"}
FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507", "XMinioAdminBucketQuotaExceeded"}
FULL |= {"storage_cap_exceeded", "StorageCapExceeded", "StorageQuotaExceeded", "BucketQuotaExceeded"}
OVERLOADED = """
    TooManyRequests TooManyRequestsException Throttling ThrottlingException ThrottledException RequestThrottled
    RequestThrottledException RequestLimitExceeded LimitExceededException BandwidthLimitExceeded
    PriorRequestNotComplete ProvisionedThroughputExceededException SlowDown 429
""".split()
CAPS = ("TransactionCapExceeded", "transaction_cap_exceeded", "DownloadCapExceeded", "download_cap_exceeded")
CLOCK = "its clock and ours differ too much"
NOT_SIGNED_SO = "it does not take how requests are signed; AWS_DEFAULT_REGION or AWS_ACCESS_KEY_ID may not be right"
REGION = "the bucket is in another region than AWS_DEFAULT_REGION says, or another endpoint serves it"


class S3ErrorMeaning(NamedTuple):
    """What an answer means, and a reason to be read after "cannot be used: "."""

    failure: Failure
    reason: str


CODES: dict[str, S3ErrorMeaning] = {
    "NoSuchBucket": S3ErrorMeaning(PERMANENT, "there is no bucket BUCKET"),
    "AccessDenied": S3ErrorMeaning(
        PERMANENT, "these credentials may not use the bucket BUCKET for WHAT, which needs RIGHT"
    ),
    "AllAccessDisabled": S3ErrorMeaning(PERMANENT, "the bucket BUCKET is closed"),
    "AccountProblem": S3ErrorMeaning(PERMANENT, "there is a problem with the account"),
    "InvalidAccessKeyId": S3ErrorMeaning(PERMANENT, "it does not know this AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": S3ErrorMeaning(
        PERMANENT,
        "the signature of a request did not match; AWS_SECRET_ACCESS_KEY is wrong, or something between us, as a "
        "proxy that sets another Host, has changed the request",
    ),
    **dict.fromkeys(EXPIRED, S3ErrorMeaning(PERMANENT, "the credentials have expired, and there were no newer ones")),
    "InvalidToken": S3ErrorMeaning(PERMANENT, "it does not accept the session token (AWS_SESSION_TOKEN)"),
    "RequestExpired": S3ErrorMeaning(
        PERMANENT, "it takes the request for expired; clocks or credentials may be the reason"
    ),
    "RequestTimeTooSkewed": S3ErrorMeaning(PERMANENT, CLOCK),
    "AuthorizationHeaderMalformed": S3ErrorMeaning(PERMANENT, NOT_SIGNED_SO),
    "PermanentRedirect": S3ErrorMeaning(PERMANENT, REGION),
    "IllegalLocationConstraintException": S3ErrorMeaning(PERMANENT, REGION),
    "TemporaryRedirect": S3ErrorMeaning(OUTAGE, "the bucket is being moved"),
    "NotImplemented": S3ErrorMeaning(PERMANENT, "it answered 501 NotImplemented to WHAT"),
    "MethodNotAllowed": S3ErrorMeaning(PERMANENT, "it does not allow WHAT"),
    **dict.fromkeys(FULL, S3ErrorMeaning(OUTAGE, "its space is used up")),
    **dict.fromkeys(CAPS, S3ErrorMeaning(OUTAGE, "the day's limit of requests or downloads is used up")),
    "EntityTooLarge": S3ErrorMeaning(PERMANENT, "it takes no objects of that size"),
    "XMinioStorageFull": S3ErrorMeaning(OUTAGE, "its disk is full"),
    **dict.fromkeys(("InsufficientStorage", "507"), S3ErrorMeaning(OUTAGE, "its disk is full")),
    "XMinioAdminBucketQuotaExceeded": S3ErrorMeaning(OUTAGE, "the quota of the bucket BUCKET is used up"),
    **dict.fromkeys(OVERLOADED, S3ErrorMeaning(OUTAGE, "it is overloaded")),
    "ServiceUnavailable": S3ErrorMeaning(OUTAGE, "it is overloaded or away"),
    "InternalError": S3ErrorMeaning(OUTAGE, "it had an error of its own"),
    "RequestTimeout": S3ErrorMeaning(OUTAGE, "it waited too long for our data"),
    **dict.fromkeys(CONFLICTS, S3ErrorMeaning(OUTAGE, "others write the same object all the time")),
    "301": S3ErrorMeaning(PERMANENT, REGION),
    "307": S3ErrorMeaning(OUTAGE, "it answered 307, as while a bucket is being moved"),
    "408": S3ErrorMeaning(OUTAGE, "it answered 408"),
    "501": S3ErrorMeaning(PERMANENT, "it answered 501 NotImplemented to WHAT"),
}
FAULTS: dict[type[Exception], S3ErrorMeaning] = {  # the first that fits
    PartialCredentialsError: S3ErrorMeaning(PERMANENT, "half of the credentials are missing"),
    NoCredentialsError: S3ErrorMeaning(
        PERMANENT, "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    ),
    CredentialRetrievalError: S3ErrorMeaning(OUTAGE, "the credentials cannot be fetched"),
    SSLError: S3ErrorMeaning(UNKNOWN, "no secure connection can be made; is its certificate trusted here?"),
    ProxyConnectionError: S3ErrorMeaning(OUTAGE, "the proxy cannot be reached"),
    ConnectionError: S3ErrorMeaning(OUTAGE, "it cannot be reached"),
    ForeignAnswer: S3ErrorMeaning(UNKNOWN, "what answers at AWS_ENDPOINT_URL_S3 does not speak the protocol of S3"),
    S3DownloadFailedError: S3ErrorMeaning(OUTAGE, "the object changed while it was read"),
    HTTPClientError: S3ErrorMeaning(OUTAGE, "the connection broke"),
    IncompleteReadError: S3ErrorMeaning(OUTAGE, "the connection broke"),
}
RIGHTS = {
    "GetObject": "s3:GetObject, and s3:ListBucket to tell missing from forbidden",
    "HeadObject": "s3:GetObject, and s3:ListBucket to tell missing from forbidden",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}  # all others: s3:PutObject


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
        known = next((meaning for kind, meaning in FAULTS.items() if isinstance(error, kind)), None)
        return known or S3ErrorMeaning(UNKNOWN, f"of {type(error).__name__}")
    code, status = answer_code(error), _status(error)
    if code.isdigit() and (foreign := _foreign(error, status)):
        return foreign
    if meaning := CODES.get(code):
        return meaning._replace(reason=meaning.reason.replace("WHAT", asked(error)))
    if status == 429:
        return CODES["429"]
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
    if isinstance(error, OSError) and not isinstance(error, tuple(FAULTS)):  # the file on our side
        kind = Full if is_full(error) else StoreError
        return kind(f"The file {error.filename or key} failed: {error.strerror or error}.", os_failure(error))
    failure, reason = meaning_of(error)
    right = RIGHTS.get(asked(error), "s3:PutObject") if isinstance(error, ClientError) else ""
    reason = reason.replace("BUCKET", bucket).replace("RIGHT", right)
    region = region_of(error)
    reason += f"; it names the region {region}" if region and reason in (REGION, NOT_SIGNED_SO) else ""
    is_507 = isinstance(error, ClientError) and _status(error) == 507
    kind = Full if answer_code(error) in FULL or is_507 else StoreError
    return kind(f"The S3 server {without_password(server)} cannot be used: {reason}.", failure)


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
