"""Every command's arguments, declared once: name, meaning, limits, default.

Parsing, checking, help, completion, forms, terminal options and `docs/commands.md` all come from these classes.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bot.arguments.types import NAME_MAX, PROMPT_MAX, Name, Names, Noun, PictureSize, Prompt, Trigger
from storage.contract.conversion import FilePrecision, Format
from storage.contract.jobs import SEED_MAX, Method, Quality, SchedulerName
from storage.contract.sizes import SIDE_MAX_PX, SIDE_MIN_PX, Aspect, read_size, size_of_aspect, spelled_aspect
from storage.errors import UserError
from storage.text import clean

CHOOSE = "Keep candidates from several steps, and let people here choose one."
RECIPE = "Recipe preset, defined by whoever runs the bot."
SET = "Overrides of recipe fields, like batch=2 rank=32; docs/recipes.md lists all fields."

With = Annotated[Literal["private", "channel", "space"], BeforeValidator(str.lower)]
Group = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,32}$")]

BRIEF: dict[str, JsonValue] = {"brief": True}  # asked for even where space is short
BARE: dict[str, JsonValue] = {"bare": True}  # may be typed without its name, after what is required
MANY: dict[str, JsonValue] = {"many": True}  # may be given several times, each adding to the others

# What a form or a completion may suggest for an argument: names of subjects, roles or user groups, ids of jobs.
OF_SUBJECTS: dict[str, JsonValue] = {"suggest": "subjects"}
OF_GROUPS: dict[str, JsonValue] = {"suggest": "groups", **BRIEF}
OF_JOBS: dict[str, JsonValue] = {"suggest": "jobs"}


SIZES: dict[str, JsonValue] = {  # what a chat that has lists offers in place of free text
    "offers": ["512", "768", "1024", "512x768", "768x512", "576x1024", "1024x576", "832x1216", "1216x832", "64", "96"]
}


class Arguments(BaseModel):
    """Base of all arguments: undeclared ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_invisible(cls, given: Any) -> Any:
        """Normalise all text, and remove control characters and line breaks."""
        if not isinstance(given, dict):
            return given
        return {name: clean(value) if isinstance(value, str) else value for name, value in given.items()}


def required(arguments: type[Arguments]) -> list[str]:
    """The arguments that must be given, in their order, by their outer names."""
    return [field.alias or name for name, field in arguments.model_fields.items() if field.is_required()]


def bare(arguments: type[Arguments]) -> list[str]:
    """The arguments that may be typed without their names, after those that are required."""
    return _marked(arguments, "bare")


def many(arguments: type[Arguments]) -> list[str]:
    """The arguments that may be given several times, each adding to the others."""
    return _marked(arguments, "many")


def _marked(arguments: type[Arguments], mark: str) -> list[str]:
    declared = {field.alias or name: field.json_schema_extra for name, field in arguments.model_fields.items()}
    return [name for name, extra in declared.items() if isinstance(extra, dict) and extra.get(mark)]


class NoArguments(Arguments):
    """Arguments of commands that take none."""


class TrainArguments(Arguments):
    """Arguments of `/dreambooth train`; the photos come as files."""

    name: Name = Field(description="What to call the subject; prompts then say [name].")
    noun: Noun = Field(alias="class", description="The kind of thing it is, like dog, mug or robot.")
    audience: With | None = Field(
        None,
        alias="with",
        description="Who may draw it: private, channel or space; default: all who can read this channel.",
        json_schema_extra=BRIEF,
    )
    group: Group | None = Field(
        None, description="A role or user group that may draw it, instead of with.", json_schema_extra=OF_GROUPS
    )
    method: Method | None = Field(
        None,
        description="full trains all weights, as in the paper; lora trains small adapters; the default depends "
        "on the base model and the machine.",
    )
    steps: int | None = Field(None, ge=1, le=4000, description="Training steps; default: from the recipe.")
    choose: Literal["yes", "no"] = Field("no", description=CHOOSE)
    recipe: str | None = Field(None, max_length=NAME_MAX, description=RECIPE)
    changes: str = Field("", alias="set", max_length=PROMPT_MAX, description=SET, json_schema_extra=MANY)
    seed: int = Field(0, ge=0, le=SEED_MAX, description="Seed of everything random in the training.")


class ImagineArguments(Arguments):
    """Arguments of `/imagine`."""

    prompt: Prompt = Field(description="Prompt: what to draw; [name] or [V] stands for your subject.")
    subject: str | None = Field(
        None,
        max_length=NAME_MAX,
        description="The subject that [V] stands for; default: your newest.",
        json_schema_extra=OF_SUBJECTS,
    )
    count: int = Field(4, ge=1, le=16, description="How many pictures.", json_schema_extra=BRIEF)
    seed: int | None = Field(
        None, ge=0, le=SEED_MAX, description="Seed of the first picture; default: random.", json_schema_extra=BRIEF
    )
    steps: int | None = Field(
        None, ge=1, le=150, description="Denoising steps; the default depends on the base model, usually 30."
    )
    guidance: float | None = Field(
        None,
        ge=1,
        le=30,
        description="Guidance scale (CFG): how closely to follow the prompt; default by base model, usually 5.",
        json_schema_extra=BRIEF,
    )
    quality: Quality | None = Field(
        None,
        description="draft: by the few-step twin, the default if there is one; final: by the base model itself.",
    )
    negative: str = Field(
        "",
        max_length=PROMPT_MAX,
        description="Negative prompt: what the picture should not show.",
        json_schema_extra=BRIEF,
    )
    scheduler: SchedulerName | None = Field(
        None, description="Sampler (noise scheduler); the default depends on the base model, usually dpm++2m."
    )
    exact: Literal["yes", "no"] = Field(
        "no",
        description="yes: draw them in a batch of their own, so that the same seed gives the same bits again.",
    )
    aspect: Aspect | None = Field(
        None, description="Aspect ratio, width to height, at about the same number of pixels; 1:1 is square."
    )
    size: PictureSize | None = Field(
        None,
        description="Size in pixels, like 512 or 768x512, multiples of 8; default: the base model's size.",
        json_schema_extra=SIZES,
    )

    @field_validator("aspect", mode="before")
    @classmethod
    def _spelled(cls, aspect: object) -> object:
        return spelled_aspect(aspect) if isinstance(aspect, str) else aspect

    @field_validator("size")
    @classmethod
    def _one_shape(cls, size: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("aspect") and "x" in (size or ""):
            raise ValueError(f"give an aspect or a width and height, not both: {size} has a shape of its own")
        return size

    def shape(self) -> dict[str, Any]:
        """The size as a job has it: exact where it is known here, else an aspect that the worker makes a size of.

        Raises UserError where an aspect of that size has sides that are too short or too long.
        """
        if not self.size:
            return {"aspect": self.aspect or "1:1"}
        size = read_size(self.size)
        if self.aspect:
            size = size_of_aspect(size.width_px, self.aspect)
            if not SIDE_MIN_PX <= min(size) <= max(size) <= SIDE_MAX_PX:
                raise UserError(
                    f"{self.aspect} of size {self.size} would be {size} pixels; "
                    f"sides have {SIDE_MIN_PX} to {SIDE_MAX_PX:,}."
                )
        square = size.width_px == size.height_px
        return {"size_px": size.width_px} if square else {"width_px": size.width_px, "height_px": size.height_px}


class SubjectArguments(Arguments):
    """Arguments of commands about one subject."""

    name: str = Field(max_length=NAME_MAX, description="The subject's name.", json_schema_extra=OF_SUBJECTS)


class JobArguments(Arguments):
    """Arguments of commands about one job."""

    job: str = Field(
        pattern=r"^[0-9a-f]{6,20}$", description="The job's id, or its first digits.", json_schema_extra=OF_JOBS
    )


class ShareArguments(SubjectArguments):
    """Arguments of `/dreambooth share`."""

    audience: With | None = Field(
        None,
        alias="with",
        description="private: only you; channel: all in this channel; space: everybody in this server or workspace.",
        json_schema_extra=BRIEF | BARE,
    )
    group: Group | None = Field(
        None,
        description="A role or user group, instead of private, channel or space.",
        json_schema_extra=OF_GROUPS | BARE,
    )


class RetrainArguments(SubjectArguments):
    """Arguments of `/dreambooth retrain`."""

    steps: int | None = Field(None, ge=1, le=4000, description="Training steps; default: as in the last training.")
    choose: Literal["yes", "no"] = Field("no", description=CHOOSE)
    recipe: str | None = Field(None, max_length=NAME_MAX, description=RECIPE)
    changes: str = Field("", alias="set", max_length=PROMPT_MAX, description=SET, json_schema_extra=MANY)
    seed: int = Field(1, ge=0, le=SEED_MAX, description="Seed of everything random in the training.")


class TogetherArguments(Arguments):
    """Arguments of `/dreambooth together`."""

    names: Names = Field(description="Existing subjects, like: rex mia.")
    method: Method | None = Field(
        None, description="full or lora; default: lora if all of them were trained with it, else as for one subject."
    )
    steps: int | None = Field(None, ge=1, le=4000, description="Training steps for each; default: from the recipe.")
    recipe: str | None = Field(None, max_length=NAME_MAX, description=RECIPE)
    changes: str = Field("", alias="set", max_length=PROMPT_MAX, description=SET, json_schema_extra=MANY)
    seed: int = Field(0, ge=0, le=SEED_MAX, description="Seed of everything random in the training.")


class ExportArguments(SubjectArguments):
    """Arguments of `darkroom export`."""

    format: Format = Field(
        "diffusers", description="A diffusers folder, a single checkpoint file for web UIs, or a LoRA file."
    )
    precision: FilePrecision = Field("half", description="Precision of the exported weights.")
    rank: int | None = Field(
        None, ge=1, le=256, description="Rank of a LoRA file that is extracted from a full training; default: 32."
    )


class ImportArguments(Arguments):
    """Arguments of `darkroom import`, in addition to its file."""

    name: Name = Field(description="What to call the subject; prompts then say [name].")
    noun: Noun = Field(alias="class", description="The kind of thing it is, like dog, mug or robot.")
    trigger: Trigger = Field(description="Trigger word or words of the file.")


class DraftArguments(Arguments):
    """Arguments of the buttons on a draft: a training whose photos are still being asked about."""

    draft: str = Field(pattern=r"^[0-9a-f]{20}$", description="The draft's id.")


class ConsentArguments(Arguments):
    """Arguments of the buttons that ask for consent."""

    consent: str = Field(pattern=r"^[0-9a-f]{20}$", description="The consent's id.")


class DeleteArguments(JobArguments):
    """Arguments of *delete*: all pictures of a job, or the one of a seed."""

    seed: int | None = Field(None, ge=0, le=SEED_MAX, description="Seed of the one picture to delete; default: all.")


class PictureArguments(JobArguments):
    """Arguments of *full size*: one picture of a job."""

    number: int = Field(ge=1, le=16, description="Number of the picture, from 1.")


class ChooseArguments(JobArguments):
    """Arguments of *choose*: one of the candidates of a training."""

    step: int = Field(ge=1, le=4000, description="Training step of the candidate to keep.")


class VariationsArguments(JobArguments):
    """Arguments of *variations*: the same prompt with seeds near that of one picture."""

    seed: int = Field(ge=0, le=SEED_MAX, description="Seed of the picture to vary.")
