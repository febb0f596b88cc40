"""Base models from the Hugging Face hub: resolved to a commit once, and fetched into the hub's own cache.

HF_TOKEN, HF_HOME and HF_ENDPOINT are the hub's own settings. Without torch.
"""

import contextlib
import logging
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants, get_token, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars
from pydantic import ValidationError

from storage.contract.base import Record
from storage.errors import SetupError

log = logging.getLogger(__name__)

MAIN = "main"  # the revision where none is named


class HubName(NamedTuple):
    """What people call a model on the hub: `org/name`, or `org/name@revision`."""

    repo: str
    revision: str

    @classmethod
    def of(cls, text: str) -> "HubName":
        """Parse it."""
        repo, _, revision = text.partition("@")
        return cls(repo, revision or MAIN)

    def __str__(self) -> str:
        """What it is called in sentences."""
        return self.repo if self.revision == MAIN else f"{self.repo}@{self.revision}"


class PinnedRevision(Record):
    """A model on the hub as it was when it was first asked for. It stays that one, whatever happens to it there."""

    repo: str
    commit: str
    sizes_bytes: dict[str, int]  # of all its files, by name

    @property
    def called(self) -> str:
        """What sentences call it."""
        return f"The base model {self.repo}@{self.commit[:8]}"


def pin(name: HubName, folder: Path) -> PinnedRevision:
    """Find out which commit a name means, and write that down in `folder`, where it is read from the next time.

    Raises SetupError with a sentence for the operator.
    """
    pin_file = folder / f"{name.repo}@{name.revision}".replace("/", "--")
    with contextlib.suppress(OSError, ValidationError):
        return PinnedRevision.model_validate_json(pin_file.read_bytes())
    with _explained(name):
        info = HfApi().model_info(name.repo, revision=name.revision, files_metadata=True)
    assert info.sha
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    pinned = PinnedRevision(repo=name.repo, commit=info.sha, sizes_bytes=sizes)
    folder.mkdir(parents=True, exist_ok=True)
    part = pin_file.with_name(f"{pin_file.name}.part")
    part.write_text(pinned.model_dump_json())
    part.replace(pin_file)
    log.info("%s is pinned to commit %s", name, pinned.commit)
    return pinned


def fetch(pinned: PinnedRevision, files: Collection[str]) -> Path:
    """Download files of a model that are not here yet; return the folder that has them. Raises SetupError."""
    name = HubName(pinned.repo, pinned.commit)
    if not sys.stderr.isatty():
        disable_progress_bars()  # a log wants lines
    with _explained(name):
        return Path(snapshot_download(name.repo, revision=name.revision, allow_patterns=[*files]))


def missing_bytes(pinned: PinnedRevision, files: Collection[str]) -> int:
    """How much of the files is still to be downloaded."""
    folder = constants.HF_HUB_CACHE, f"models--{pinned.repo.replace('/', '--')}", "snapshots", pinned.commit
    return sum(pinned.sizes_bytes[name] for name in files if not Path(*folder, name).exists())


@contextlib.contextmanager
def _explained(name: HubName) -> Iterator[None]:
    """Turn what goes wrong on the way to the hub into a sentence that says what to do."""
    page = f"{constants.ENDPOINT}/{name.repo}"
    try:
        yield
    except GatedRepoError as error:
        permission = "the account of HF_TOKEN has no permission" if get_token() else "it is not given to anybody"
        raise SetupError(
            f"The base model {name} is gated, and {permission}: accept the licence on its page, {page}, "
            "and set HF_TOKEN to a token of the account that did."
        ) from error
    except RepositoryNotFoundError as error:
        raise SetupError(
            f"There is no base model {name}: no such folder or file here, and the hub at {constants.ENDPOINT} does not "
            "show one of that name. Check the spelling; if it is private, set HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise SetupError(f"The base model {name.repo} has no revision {name.revision}; {page} shows all.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        why = "HF_TOKEN is not valid" if status == 401 else f"it answers with status {status}"
        raise SetupError(f"The base model {name} cannot be had from the hub at {constants.ENDPOINT}: {why}.") from error
    except (OSError, HTTPError, ValueError) as error:
        raise SetupError(
            f"The base model {name} is neither a folder nor a file here, and cannot be had from the hub at "
            f"{constants.ENDPOINT}: {str(error).splitlines()[0]}."
        ) from error
