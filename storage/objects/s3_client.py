"""boto3's client for S3, set so that it suits as many servers as can be, and made anew when its credentials expire."""

import base64
import hashlib
import threading
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader
from botocore.session import get_session

from storage.errors import SetupError
from storage.objects.s3_answers import check_answer, redirect_once

CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
    s3={"addressing_style": "path"},  # bucket.host needs a wildcard DNS name, which few own servers have
    request_checksum_calculation="when_required",  # many servers refuse the CRC trailers that newer clients add
    response_checksum_validation="when_required",
)


class S3Client:
    """A client whose credentials come from boto3's chain: environment, files, a process, or what a cloud gives."""

    def __init__(self) -> None:
        """Raises SetupError where the settings are wrong in themselves."""
        self._lock = threading.Lock()
        self._session, self.client = _made()

    @property
    def key_id(self) -> str:
        """The id of the access key, which is no secret; empty where there are no credentials."""
        credentials = _credentials(self._session)
        return str(credentials.access_key) if credentials else ""

    def renewed(self, used: Any) -> bool:
        """Whether there are newer credentials than those of the client that was `used`; `client` has them then.

        Credentials that botocore knows to expire it refreshes by itself. Others change in a file or the environment.
        """
        with self._lock:
            if self.client is not used:
                return True  # somebody else was quicker
            session, client = _made()
            if _credentials(session) in (None, _credentials(self._session)):
                return False
            self._session, self.client = session, client
            return True


def _made() -> tuple[Any, Any]:
    try:
        session = boto3.session.Session(botocore_session=_botocore_session())
        client = session.client("s3", config=CONFIG)
    except BotoCoreError as error:
        raise SetupError(f"The AWS_* settings are not right: {error}") from error
    except ValueError as error:
        raise SetupError("AWS_ENDPOINT_URL_S3 has to be a URL like https://s3.example.org.") from error
    client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
    client.meta.events.register("before-call.s3.HeadBucket", redirect_once)
    client.meta.events.register("after-call.s3", check_answer)
    return session, client


def _botocore_session() -> Any:
    """A session that shares with the others what botocore knows of S3: to read that takes half the time of a client."""
    session = get_session()
    session.register_component("data_loader", _loader())
    return session


@cache
def _loader() -> Loader:
    return create_loader()


def _credentials(session: Any) -> Any:
    credentials = session.get_credentials()
    return credentials and credentials.get_frozen_credentials()


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Add the Content-MD5 that older servers want of DeleteObjects; newer clients send another checksum only."""
    body = params["body"]
    digest = hashlib.md5(body if isinstance(body, bytes) else body.encode(), usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
