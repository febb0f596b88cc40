"""Settings that only the bot and the `darkroom` command read."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from storage.settings.shared import SharedSettings


class BotSettings(SharedSettings):
    """What the bot reads; secrets stay masked when they are printed."""

    # Secrets print as stars: settings are logged, listed and put into error reports.
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
    # Loopback: requests are signed, but only a proxy in front has TLS, which Slack demands.
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
    # Off by default: who is invited to one channel is not meant to use the workspace's machines.
    slack_outsiders: bool = Field(
        False,
        validation_alias="DARKROOM_SLACK_OUTSIDERS",
        description="Allow guests and people of other organisations (Slack Connect) to use the bot.",
    )
    previews: Literal["web", "off"] = Field(
        "web",
        validation_alias="DARKROOM_PREVIEWS",
        description="Previews of pictures while they are drawn: web, on an open page of the web chat; or off.",
    )
    # The web chat has no login, so it never listens on anything but loopback.
    port: int = Field(
        8700, ge=0, le=65535, validation_alias="DARKROOM_PORT", description="Port of the web chat on 127.0.0.1; 0: any."
    )
    hosts: str = Field(
        "",
        validation_alias="DARKROOM_HOSTS",
        description="Allowed hosts: further host names of the web chat, behind a reverse proxy or a tunnel, separated "
        "by commas: darkroom.example.org,10.1.2.3:9000. The web chat has no login; the proxy must add one.",
    )
    api_key: SecretStr | None = Field(
        None,
        min_length=16,
        validation_alias="DARKROOM_API_KEY",
        description="Key of the API (/v1/chat/completions on the web chat's port), at least 16 characters, which "
        "clients send as a bearer token. Unset: programs on this machine need none, and with DARKROOM_HOSTS set the "
        "API is closed.",
    )
    # Off by default: people send photos to the bot, not to the channel.
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
    # Photos are held in memory while they are checked: this bounds what one person can take of it.
    photos_max_bytes: int = Field(
        256 * 2**20,
        ge=1024,
        validation_alias="DARKROOM_PHOTOS_MAX_BYTES",
        description="Maximum total size of one person's photos that are downloaded or checked at the same time.",
    )
    # A small file can hold a huge picture; memory for decoding is derived from this limit.
    photo_max_pixels: int = Field(
        64_000_000,
        ge=4096,
        validation_alias="DARKROOM_PHOTO_MAX_PIXELS",
        description="Maximum number of pixels of one photo.",
    )
    # Stays 0 by default, because the base model may be changed without it.
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
    questions_per_person: int = Field(
        5,
        ge=1,
        validation_alias="DARKROOM_QUESTIONS_PER_PERSON",
        description="Quota: questions of one person that are queued or being answered.",
    )
    questions_per_space: int = Field(
        100,
        ge=1,
        validation_alias="DARKROOM_QUESTIONS_PER_SPACE",
        description="Quota: questions of one Discord server or Slack workspace that are queued or being answered.",
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
    recipes: Path | None = Field(
        None,
        validation_alias="DARKROOM_RECIPES",
        description="Folder of recipe presets, one TOML file each. Unset: DARKROOM_HOME/recipes. "
        "docs/recipes.md describes the format.",
    )
    dino: str = Field(
        "",
        validation_alias="DARKROOM_DINO",
        description="DINO model for the metrics of `darkroom eval`, in addition to the CLIP model of DARKROOM_JUDGE: a "
        "folder or a name on the Hugging Face hub. docs/evaluation.md names the paper's model.",
    )

    @property
    def recipes_folder(self) -> Path:
        """Where presets are, with the default filled in."""
        return self.recipes or self.home / "recipes"

    @property
    def host_names(self) -> frozenset[str]:
        """Further hosts of the web chat, each with a port or for all ports; an address of it is taken for its host."""
        names = (name.strip().lower().rpartition("://")[2].partition("/")[0] for name in self.hosts.split(","))
        return frozenset(filter(None, names))
