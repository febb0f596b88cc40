"""Settings that only the worker and its engine read."""

from typing import Literal

from pydantic import Field

from storage.settings.shared import SharedSettings

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Sharding = Literal["auto", "none", "full"]
BaseWeights = Literal["plain", "int8", "float8"]
Offload = Literal["auto", "none", "text", "blocks"]


class TrainerSettings(SharedSettings):
    """What a worker and its engine read. They get no tokens of chats."""

    precision: Precision = Field(
        "auto",
        validation_alias="DARKROOM_PRECISION",
        description="Precision of the base model: float32, bfloat16, float16 or auto (half precision on a GPU; on a "
        "CPU with bfloat16 instructions, wide passes of drawings are computed in that).",
    )
    base_weights: BaseWeights = Field(
        "plain",
        validation_alias="DARKROOM_BASE_WEIGHTS",
        description="Quantisation of the frozen base model's linear layers, to draw and to train LoRA on: int8 or "
        "float8 take half the memory of 16 bits; plain: none. docs/recipes.md says which to take for which GPU.",
    )
    offload: Offload = Field(
        "auto",
        validation_alias="DARKROOM_OFFLOAD",
        description="What of the base model lies in the machine's memory until it is needed on the GPU: text encoders; "
        "blocks, those of the network that predicts as well, which is slow; none; auto: as little as the GPU's memory "
        "asks for. Not with several GPUs per training.",
    )
    accepted_licences: str = Field(
        "",
        validation_alias="DARKROOM_ACCEPTED_LICENCES",
        description="Licences of base models that you have read and whose conditions you meet, like krea-2-community, "
        "separated by commas. Models with conditions do not start without; `darkroom doctor` says which.",
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
    training_share: float = Field(
        0.3,
        ge=0,
        le=0.9,
        validation_alias="DARKROOM_TRAINING_SHARE",
        description="Share of the engine's time that trainings have while pictures wait; while none do they have all.",
    )
    trainings_at_once: int = Field(
        4,
        ge=1,
        le=16,
        validation_alias="DARKROOM_TRAININGS_AT_ONCE",
        description="LoRA trainings at most that a worker takes at once and whose steps it computes together, as far "
        "as memory allows and as that is quicker. Full trainings, and those on several GPUs or with trackers, run one "
        "after another.",
    )
    # Time is lost at most once: a job of a lost worker resumes from the last one.
    checkpoint_s: float = Field(
        60.0,
        ge=0,
        le=86400,
        validation_alias="DARKROOM_CHECKPOINT_S",
        description="Seconds between two checkpoints, from which a training resumes; longer if writing them is slow.",
    )
    # A slow step is no crash: the watchdog learns how long a step takes on this machine.
    engine_silence_s: float = Field(
        120.0,
        ge=1,
        le=86400,
        validation_alias="DARKROOM_ENGINE_SILENCE_S",
        description="Watchdog timeout: seconds without a heartbeat from the engine while it trains or generates, after "
        "which it is killed and its job retried. Twenty steps, if that is longer.",
    )
    # Downloading and compiling report nothing for minutes.
    engine_loading_s: float = Field(
        1800.0,
        ge=1,
        le=86400,
        validation_alias="DARKROOM_ENGINE_LOADING_S",
        description="Watchdog timeout in seconds while the engine loads, compiles or saves.",
    )
    # Below this the kernel may end the engine in the middle of a job, without a warning.
    memory_least_bytes: int = Field(
        256 * 2**20,
        ge=0,
        validation_alias="DARKROOM_MEMORY_LEAST_BYTES",
        description="Minimum free memory of the machine; below it a worker takes no jobs.",
    )

    @property
    def licences(self) -> frozenset[str]:
        """The accepted licences one by one."""
        return frozenset(part.strip().lower() for part in self.accepted_licences.split(","))

    @property
    def tracker_names(self) -> list[str]:
        """The trackers one by one."""
        # Without repetitions, in the order given: no tracker may be opened twice.
        return list(dict.fromkeys(name for part in self.trackers.split(",") if (name := part.strip().lower())))
