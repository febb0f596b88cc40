"""What went wrong with S3, in a sentence: no requests, keys or signatures in it."""

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
    SSLError,
)
from s3transfer.exceptions import RetriesExceededError

from storage.errors import Missing, StoreError

FAILURES = (BotoCoreError, ClientError, S3UploadFailedError, RetriesExceededError, OSError)
NOT_THERE = {"NoSuchKey", "404"}
ANSWERS = {
    "NoSuchBucket": "there is no bucket BUCKET",
    "AccessDenied": "these credentials may not use the bucket BUCKET",
    "403": "these credentials may not use the bucket BUCKET",
    "InvalidAccessKeyId": "it does not know this AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY is not the right one",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "its clock and ours differ too much",
    "AuthorizationHeaderMalformed": "AWS_DEFAULT_REGION is not the bucket's region",
    "PermanentRedirect": "AWS_DEFAULT_REGION is not the bucket's region",
    "SlowDown": "it is overloaded",
}
FAULTS: dict[type[Exception], str] = {  # the first that fits
    NoCredentialsError: "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    CredentialRetrievalError: "the credentials cannot be fetched",
    SSLError: "no secure connection can be made; is its certificate trusted here?",
    ConnectionError: "it cannot be reached",
    HTTPClientError: "the connection broke",
    IncompleteReadError: "the connection broke",
}


def answer_code(error: BaseException) -> str:
    """The code of the server's answer, like NoSuchKey, or its HTTP status if it gave none; empty for other errors."""
    if not isinstance(error, ClientError):
        return ""
    return error.response["Error"].get("Code") or str(error.response["ResponseMetadata"]["HTTPStatusCode"])


def store_error(error: BaseException, server: str, bucket: str, key: str) -> StoreError:
    """Return the StoreError that says what `error`, one of FAILURES, means for the object `key`."""
    if isinstance(error, S3UploadFailedError) and error.__context__:
        error = error.__context__
    if isinstance(error, RetriesExceededError):
        error = error.last_exception
    code = answer_code(error)
    if code in NOT_THERE:
        return Missing(f"There is no object {key!r}.")
    fault = next((reason for kind, reason in FAULTS.items() if isinstance(error, kind)), "")
    if isinstance(error, OSError) and not fault:  # the file on our side
        return StoreError(f"The file {error.filename or key} failed: {error.strerror or error}.")
    reason = ANSWERS.get(code, f"it answered {code}") if code else fault or f"of {type(error).__name__}"
    reason = reason.replace("BUCKET", bucket)
    return StoreError(f"The S3 server {without_password(server)} cannot be used: {reason}.")


def without_password(url: str) -> str:
    """Return scheme, host and port of a URL only."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
