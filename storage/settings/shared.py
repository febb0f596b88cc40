"""Settings that bot and worker both read, and how settings are loaded: by a call, never at import."""

from pathlib import Path
from typing import TypeVar, get_args

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.base_models import TOYWORLD, BaseModelPair
from storage.errors import SetupError

S = TypeVar("S", bound="SharedSettings")


class SharedSettings(BaseSettings):
    """What bot and workers both read. `docs/settings.md` is generated from the descriptions."""

    # Frozen: whoever needs another value makes a copy before anything is built from it. A `.env` may hold others'
    # lines.
    model_config = SettingsConfigDict(frozen=True, env_file=".env", extra="ignore", defer_build=True)

    home: Path = Field(
        default_factory=lambda: user_data_path("darkroom", appauthor=False),
        validation_alias="DARKROOM_HOME",
        description="Folder of local state: the embedded queue, the folder store, caches.",
    )
    redis_url: str = Field(
        "",
        validation_alias="REDIS_URL",
        description="Queue: redis://, rediss://, unix://, redis-sentinel:// or rediss-sentinel://; docs/operating.md "
        "has examples. Unset: an embedded Valkey under DARKROOM_HOME.",
    )
    redis_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._:{}-]*$",
        validation_alias="DARKROOM_REDIS_PREFIX",
        description="Prefix of all Redis keys, like `acme:`, so that several deployments can share a database. "
        "The same for all processes of a deployment.",
    )
    redis_connections: int = Field(
        8,
        ge=2,
        le=1000,
        validation_alias="DARKROOM_REDIS_CONNECTIONS",
        description="Connection pool: maximum connections of a process to Redis; further commands wait for a free one.",
    )
    store: str = Field(
        "",
        validation_alias="DARKROOM_STORE",
        description="Object store: s3://bucket/prefix or a folder. Unset: DARKROOM_HOME/store. "
        "S3 access is boto3's own: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3.",
    )
    base_models: str = Field(
        TOYWORLD,
        validation_alias="DARKROOM_BASE_MODEL",
        description="Base model: `toyworld`, which ships; a folder in diffusers' layout; a .safetensors file; or a "
        "model on the Hugging Face hub, org/name or org/name@revision. With a comma, a few-step twin that draws what "
        "was learned on it: `krea/Krea-2-Raw,krea/Krea-2-Turbo`. docs/models.md says more.",
    )
    judge: str = Field(
        "",
        validation_alias="DARKROOM_JUDGE",
        description="CLIP model that evaluates subjects, for report cards, candidates and early stopping: a folder or "
        "a name on the Hugging Face hub. Unset: none; toyworld has a judge of its own.",
    )
    lease_s: float = Field(
        10.0,
        ge=1,
        le=600,
        validation_alias="DARKROOM_LEASE_S",
        description="Lease: seconds after which the job of a dead worker is handed to another one.",
    )
    disk_least_bytes: int = Field(
        2**30,
        ge=0,
        validation_alias="DARKROOM_DISK_LEAST_BYTES",
        description="Minimum free disk space under DARKROOM_HOME; below it a worker takes no jobs.",
    )

    @field_validator("base_models")
    @classmethod
    def _one_or_a_pair(cls, text: str) -> str:
        """Refuse a third name, and an empty one."""
        names = text.split(",")
        if len(names) > 2 or not all(name.strip() for name in names):
            raise ValueError("it is a base model, or a base model and its few-step twin with a comma between them")
        return text

    @property
    def base_model(self) -> str:
        """What subjects are learned on."""
        return BaseModelPair.of(self.base_models).base

    @property
    def twin_model(self) -> str:
        """What draws drafts of them; empty where nothing else does."""
        return BaseModelPair.of(self.base_models).twin

    @property
    def store_url(self) -> str:
        """The object store, with the default filled in."""
        return self.store or str(self.home / "store")


def load_settings(kind: type[S]) -> S:
    """Read the environment; raises SetupError with a sentence for each setting that is wrong."""
    try:
        return kind()
    except RuntimeError as error:  # of platformdirs
        raise SetupError(
            "This account has no home folder: set DARKROOM_HOME to the folder that is to be used."
        ) from error
    except ValidationError as error:
        fields = kind.model_fields.values()
        secret = {field.validation_alias for field in fields if SecretStr in get_args(field.annotation)}
        problems = [
            f"{e['loc'][0]} is {'wrong' if e['loc'][0] in secret else repr(e['input'])}: {e['msg']}"
            for e in error.errors()
        ]
        raise SetupError("; ".join(problems) + ".") from None
