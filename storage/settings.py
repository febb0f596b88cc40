"""The only reader of the environment. Settings are built by a call, never at import, and secrets stay masked."""

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.errors import SetupError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Sharding = Literal["auto", "none", "full"]


class Settings(BaseSettings):
    """Everything that can be set from outside. `docs/settings.md` is generated from the descriptions here."""

    model_config = SettingsConfigDict(frozen=True, env_file=".env", extra="ignore")

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
    base_model: str = Field(
        "toyworld",
        validation_alias="DARKROOM_BASE_MODEL",
        description="Base model: `toyworld`, which ships; a folder in diffusers' layout; a .safetensors file; or a "
        "model on the Hugging Face hub, org/name or org/name@revision. docs/models.md says more.",
    )
    precision: Precision = Field(
        "auto",
        validation_alias="DARKROOM_PRECISION",
        description="Precision of the base model: float32, bfloat16, float16 or auto (half precision on a GPU).",
    )
    judge: str = Field(
        "",
        validation_alias="DARKROOM_JUDGE",
        description="CLIP model that evaluates subjects, for report cards, candidates and early stopping: a folder or "
        "a name on the Hugging Face hub. Unset: none; toyworld has a judge of its own.",
    )
    dino: str = Field(
        "",
        validation_alias="DARKROOM_DINO",
        description="DINO model for the metrics of `darkroom eval`, in addition to the CLIP model of DARKROOM_JUDGE: a "
        "folder or a name on the Hugging Face hub. docs/evaluation.md names the paper's model.",
    )
    recipes: Path | None = Field(
        None,
        validation_alias="DARKROOM_RECIPES",
        description="Folder of recipe presets, one TOML file each. Unset: DARKROOM_HOME/recipes. "
        "docs/recipes.md describes the format.",
    )
    trackers: str = Field(
        "",
        validation_alias="DARKROOM_TRACKERS",
        description="Experiment trackers, by their names in Accelerate, separated by commas: tensorboard, wandb, "
        "mlflow … docs/tracking.md says what they log and where. Unset: none.",
    )
    gpus_per_training: int = Field(
        1,
        ge=1,
        le=16,
        validation_alias="DARKROOM_GPUS_PER_TRAINING",
        description="GPUs of this worker that train one subject together (data parallel). With several workers on a "
        "host, set CUDA_VISIBLE_DEVICES for each.",
    )
    sharding: Sharding = Field(
        "auto",
        validation_alias="DARKROOM_SHARDING",
        description="Sharding of full trainings over these GPUs; none: each holds all weights, gradients and optimizer "
        "state (DDP); full: each holds a shard (FSDP); auto: shard only if it does not fit otherwise.",
    )
    port: int = Field(
        8700, ge=0, le=65535, validation_alias="DARKROOM_PORT", description="Port of the web chat on 127.0.0.1; 0: any."
    )
    hosts: str = Field(
        "",
        validation_alias="DARKROOM_HOSTS",
        description="Allowed hosts: further host names of the web chat, behind a reverse proxy or a tunnel, separated "
        "by commas: darkroom.example.org,10.1.2.3:9000. The web chat has no login; the proxy must add one.",
    )
    lease_s: float = Field(
        10.0,
        ge=1,
        le=600,
        validation_alias="DARKROOM_LEASE_S",
        description="Lease: seconds after which the job of a dead worker is handed to another one.",
    )
    checkpoint_s: float = Field(
        60.0,
        ge=0,
        le=86400,
        validation_alias="DARKROOM_CHECKPOINT_S",
        description="Seconds between two checkpoints, from which a training resumes; longer if writing them is slow.",
    )
    engine_silence_s: float = Field(
        120.0,
        ge=1,
        le=86400,
        validation_alias="DARKROOM_ENGINE_SILENCE_S",
        description="Watchdog timeout: seconds without a heartbeat from the engine while it trains or generates, after "
        "which it is killed and its job retried. Twenty steps, if that is longer.",
    )
    engine_loading_s: float = Field(
        1800.0,
        ge=1,
        le=86400,
        validation_alias="DARKROOM_ENGINE_LOADING_S",
        description="Watchdog timeout in seconds while the engine loads, compiles or saves.",
    )
    discord_token: SecretStr | None = Field(
        None, validation_alias="DISCORD_TOKEN", description="Token of the Discord bot; unset: no Discord."
    )
    discord_api_url: str = Field(
        "", validation_alias="DISCORD_API_URL", description="URL of Discord's API, for a proxy. Unset: Discord's own."
    )
    slack_bot_token: SecretStr | None = Field(
        None, validation_alias="SLACK_BOT_TOKEN", description="Token of the Slack bot, xoxb-…; unset: no Slack."
    )
    slack_app_token: SecretStr | None = Field(
        None,
        validation_alias="SLACK_APP_TOKEN",
        description="App-level token for Slack's Socket Mode, xapp-…. Unset: Slack sends events over HTTP.",
    )
    slack_signing_secret: SecretStr | None = Field(
        None,
        validation_alias="SLACK_SIGNING_SECRET",
        description="Signing secret, which verifies that HTTP requests come from Slack.",
    )
    slack_api_url: str = Field(
        "",
        validation_alias="SLACK_API_URL",
        description="URL of Slack's Web API, for GovSlack or a proxy. Unset: https://slack.com/api/.",
    )
    photos_in_public: bool = Field(
        False,
        validation_alias="DARKROOM_PHOTOS_IN_PUBLIC",
        description="Show the photos of a training in the channel, on a contact sheet when it is done.",
    )
    forget_after_days: int = Field(
        30,
        ge=0,
        le=3650,
        validation_alias="DARKROOM_FORGET_AFTER_DAYS",
        description="Retention: days after which the data of people who left a server or workspace is deleted, and the "
        "data of servers and workspaces that removed the bot.",
    )
    slack_outsiders: bool = Field(
        False,
        validation_alias="DARKROOM_SLACK_OUTSIDERS",
        description="Allow guests and people of other organisations (Slack Connect) to use the bot.",
    )
    slack_host: str = Field(
        "127.0.0.1",
        validation_alias="DARKROOM_SLACK_HOST",
        description="Address to listen on for Slack's HTTP requests.",
    )
    slack_port: int = Field(
        3000,
        ge=0,
        le=65535,
        validation_alias="DARKROOM_SLACK_PORT",
        description="Port to listen on for Slack's HTTP requests, path /slack/events; 0: any.",
    )
    photos_max: int = Field(
        20,
        ge=1,
        le=100,
        validation_alias="DARKROOM_PHOTOS_MAX",
        description="Maximum number of photos in one training.",
    )
    photo_max_bytes: int = Field(
        32 * 2**20, ge=1024, validation_alias="DARKROOM_PHOTO_MAX_BYTES", description="Maximum file size of one photo."
    )
    photos_max_bytes: int = Field(
        256 * 2**20,
        ge=1024,
        validation_alias="DARKROOM_PHOTOS_MAX_BYTES",
        description="Maximum total size of one person's photos that are downloaded or checked at the same time.",
    )
    photo_max_pixels: int = Field(
        64_000_000,
        ge=4096,
        validation_alias="DARKROOM_PHOTO_MAX_PIXELS",
        description="Maximum number of pixels of one photo.",
    )
    photo_short_side_px: int = Field(
        0,
        ge=0,
        le=4096,
        validation_alias="DARKROOM_PHOTO_MIN_PX",
        description="Minimum short side of a photo; 0: what the base model needs, 64 for toyworld and 256 for others.",
    )
    requests_per_minute: int = Field(
        30,
        ge=1,
        validation_alias="DARKROOM_REQUESTS_PER_MINUTE",
        description="Rate limit: commands and button presses of one person per minute.",
    )
    pictures_per_person: int = Field(
        10,
        ge=1,
        validation_alias="DARKROOM_PICTURES_PER_PERSON",
        description="Quota: picture jobs of one person that are queued or running.",
    )
    pictures_per_space: int = Field(
        100,
        ge=1,
        validation_alias="DARKROOM_PICTURES_PER_SPACE",
        description="Quota: picture jobs of one Discord server or Slack workspace that are queued or running.",
    )
    trainings_per_person: int = Field(
        3,
        ge=1,
        validation_alias="DARKROOM_TRAININGS_PER_PERSON",
        description="Quota: trainings of one person that are queued or running.",
    )
    trainings_per_space: int = Field(
        20,
        ge=1,
        validation_alias="DARKROOM_TRAININGS_PER_SPACE",
        description="Quota: trainings of one Discord server or Slack workspace that are queued or running.",
    )
    pictures_max_pixels: int = Field(
        16 * 1024**2,
        ge=2048**2,
        validation_alias="DARKROOM_PICTURES_MAX_PIXELS",
        description="Maximum total number of pixels of all pictures of one request.",
    )
    disk_least_bytes: int = Field(
        2**30,
        ge=0,
        validation_alias="DARKROOM_DISK_LEAST_BYTES",
        description="Minimum free disk space under DARKROOM_HOME; below it a worker takes no jobs.",
    )
    memory_least_bytes: int = Field(
        256 * 2**20,
        ge=0,
        validation_alias="DARKROOM_MEMORY_LEAST_BYTES",
        description="Minimum free memory of the machine; below it a worker takes no jobs.",
    )

    @property
    def store_url(self) -> str:
        """The object store, with the default filled in."""
        return self.store or str(self.home / "store")

    @property
    def tracker_names(self) -> list[str]:
        """The trackers one by one."""
        return list(dict.fromkeys(name for part in self.trackers.split(",") if (name := part.strip().lower())))

    @property
    def recipes_folder(self) -> Path:
        """Where presets are, with the default filled in."""
        return self.recipes or self.home / "recipes"

    @property
    def host_names(self) -> frozenset[str]:
        """Further hosts of the web chat, each with a port or for all ports."""
        return frozenset(name.strip().lower() for name in self.hosts.split(",") if name.strip())

    @property
    def toyworld(self) -> bool:
        """Whether the base model is the one that ships."""
        return self.base_model == "toyworld"

    @property
    def photo_min_px(self) -> int:
        """Short side of a photo at least: what the base model can learn from."""
        return self.photo_short_side_px or (64 if self.toyworld else 256)

    @property
    def photo_px(self) -> int:
        """Side of a photo as prepared for training."""
        return 128 if self.toyworld else 1024


def without_secrets(url: str) -> str:
    """Where a URL leads, without what lets one in there: for messages, logs and lists.

    >>> without_secrets("redis://bot:hunter2@queue.example:6379/0?password=hunter2")
    'redis://queue.example:6379/0'
    """
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    if "@" in query:  # perhaps a password with a question mark in it
        return f"{scheme}://…"
    return f"{scheme}://{place.rpartition('@')[2]}"


def load_settings() -> Settings:
    """Read the environment; raises SetupError with a sentence for each setting that is wrong."""
    try:
        return Settings()
    except RuntimeError as error:  # of platformdirs
        raise SetupError(
            "This account has no home folder: set DARKROOM_HOME to the folder that is to be used."
        ) from error
    except ValidationError as error:
        problems = [f"{e['loc'][0]} is {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise SetupError("; ".join(problems) + ".") from None
