"""What an error of the file system means for the folder store: which kind of failure it is, and why."""

import errno

from storage.failures import Failure

FULL = {errno.ENOSPC, errno.EDQUOT}
FAILURES = {
    **dict.fromkeys(FULL, Failure.OUTAGE),  # somebody will make room
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), Failure.PERMANENT),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EFBIG, errno.EISDIR), Failure.PERMANENT),
    **dict.fromkeys((errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.EINTR), Failure.OUTAGE),  # NFS
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EHOSTDOWN), Failure.OUTAGE),
}  # EIO, and all others: unknown


def os_failure(error: OSError) -> Failure:
    """Tell which kind of failure an error of the file system is."""
    return FAILURES.get(error.errno or 0, Failure.UNKNOWN)


def is_full(error: BaseException) -> bool:
    """Whether there is no room left, on the disk or in somebody's quota; libraries wrap such errors, or quote them."""
    wrapped: BaseException | None = error
    while wrapped:
        if isinstance(wrapped, OSError) and wrapped.errno in FULL:
            return True
        wrapped = wrapped.__cause__
    return any(f"os error {number}" in str(error) for number in FULL)  # as safetensors does
