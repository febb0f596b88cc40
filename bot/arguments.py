"""Every command's arguments, declared once: name, meaning, limits, default.

Parsing, checking, help, completion, forms, terminal options and `docs/commands.md` all come from these classes.
"""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    WithJsonSchema,
)

from storage.company import SUBJECTS_MOST
from storage.exchange import FilePrecision, Format
from storage.jobs import SEED_MAX, Method, SchedulerName

PROMPT_MAX = 1000
NAME_MAX = 32
NOUN_MAX = 40
TRIGGER_MAX = 60


def _checked_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name.strip())
    if not name:
        raise ValueError("a name needs at least one letter")
    if len(name) > NAME_MAX:
        raise ValueError(f"a name has at most {NAME_MAX} characters, this one has {len(name)}")
    if not all(c.isalnum() or c in "-_" for c in name):
        raise ValueError("a name is made of letters, digits, - and _ only")
    if name.casefold() == "v":
        raise ValueError("[V] always means your newest subject, so no subject can be called V")
    return name


def _checked_noun(noun: str) -> str:
    noun = " ".join(noun.split())
    if not noun:
        raise ValueError("say what kind of thing it is in a word or two, like dog or coffee mug")
    if len(noun) > NOUN_MAX or not all(c.isalpha() or c in " -'" for c in noun):
        raise ValueError(f"a kind of thing is a word or two of letters, at most {NOUN_MAX} characters, like coffee mug")
    return noun


def _checked_prompt(prompt: str) -> str:
    prompt = " ".join(prompt.split())
    if not prompt:
        raise ValueError("say what the picture should show, like: a [rex] dog in Paris")
    if len(prompt) > PROMPT_MAX:
        raise ValueError(f"a prompt has at most {PROMPT_MAX} characters, this one has {len(prompt):,}")
    return prompt


def _text(longest: int) -> WithJsonSchema:
    """Tell forms the longest text; the check itself stays with the validator, which says it better."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": longest})


def _checked_trigger(trigger: str) -> str:
    trigger = " ".join(trigger.split())
    if not trigger:
        raise ValueError("say which words mean it in the file; whoever made it tells them")
    if len(trigger) > TRIGGER_MAX or set(trigger) & set("[]"):
        raise ValueError(f"a trigger has at most {TRIGGER_MAX} characters and no brackets")
    return trigger


def _checked_names(names: str) -> str:
    each = names.replace(",", " ").split()
    if not 2 <= len({name.casefold() for name in each}) == len(each) <= SUBJECTS_MOST:
        raise ValueError(f"name two subjects or more, {SUBJECTS_MOST} at most and each once, like: rex mia")
    return " ".join(each)


Name = Annotated[str, AfterValidator(_checked_name), _text(NAME_MAX)]
Noun = Annotated[str, AfterValidator(_checked_noun), _text(NOUN_MAX)]
Names = Annotated[str, AfterValidator(_checked_names), _text(SUBJECTS_MOST * (NAME_MAX + 1))]
Trigger = Annotated[str, AfterValidator(_checked_trigger), _text(TRIGGER_MAX)]
Prompt = Annotated[str, AfterValidator(_checked_prompt), _text(PROMPT_MAX)]

CHOOSE = "Keep it as it is at several steps, and let people here choose."
RECIPE = "A preset of whoever runs me."
SET = "What else is to be otherwise in the recipe, like batch=2 rank=32; docs/recipes.md lists it all."

BRIEF: dict[str, JsonValue] = {"brief": True}  # asked for even where space is short
BARE: dict[str, JsonValue] = {"bare": True}  # may be typed without its name, after what is required

# What a form or a completion may suggest for an argument: names of subjects, roles or user groups, ids of jobs.
OF_SUBJECTS: dict[str, JsonValue] = {"suggest": "subjects"}
OF_GROUPS: dict[str, JsonValue] = {"suggest": "groups", **BRIEF}
OF_JOBS: dict[str, JsonValue] = {"suggest": "jobs"}


class Arguments(BaseModel):
    """Base of all arguments: whatever is not declared is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def required(arguments: type[Arguments]) -> list[str]:
    """The arguments that must be given, in their order, by their outer names."""
    return [field.alias or name for name, field in arguments.model_fields.items() if field.is_required()]


def bare(arguments: type[Arguments]) -> list[str]:
    """The arguments that may be typed without their names, after those that are required."""
    declared = {field.alias or name: field.json_schema_extra for name, field in arguments.model_fields.items()}
    return [name for name, extra in declared.items() if isinstance(extra, dict) and extra.get("bare")]


class Nothing(Arguments):
    """Of commands that take no arguments."""


class TrainArguments(Arguments):
    """Of `/dreambooth train`; the photos come as files."""

    name: Name = Field(description="What to call the subject; prompts then say [name].")
    noun: Noun = Field(alias="class", description="What kind of thing it is: dog, mug, robot …")
    method: Method | None = Field(
        None,
        description="full learns the whole model, the paper's way; lora a small file beside it; by default as the "
        "recipe says.",
    )
    steps: int | None = Field(None, ge=1, le=4000, description="Training steps; by default as the recipe says.")
    choose: Literal["yes", "no"] = Field("no", description=CHOOSE)
    recipe: str | None = Field(None, max_length=NAME_MAX, description=RECIPE)
    changes: str = Field("", alias="set", max_length=PROMPT_MAX, description=SET)
    seed: int = Field(0, ge=0, le=SEED_MAX, description="Seed of everything random in the training.")


class ImagineArguments(Arguments):
    """Of `/imagine`."""

    prompt: Prompt = Field(description="What to draw; [name] or [V] stands for your subject.")
    subject: str | None = Field(
        None,
        max_length=NAME_MAX,
        description="The subject that [V] means; else your newest.",
        json_schema_extra=OF_SUBJECTS,
    )
    count: int = Field(4, ge=1, le=16, description="How many pictures.", json_schema_extra=BRIEF)
    seed: int | None = Field(
        None, ge=0, le=SEED_MAX, description="Seed of the first picture; by default chance.", json_schema_extra=BRIEF
    )
    steps: int = Field(30, ge=1, le=150, description="Denoising steps.")
    guidance: float = Field(
        5.0, ge=1, le=30, description="Guidance scale: how closely to follow the prompt.", json_schema_extra=BRIEF
    )
    negative: str = Field(
        "", max_length=PROMPT_MAX, description="What the picture should not show.", json_schema_extra=BRIEF
    )
    scheduler: SchedulerName = Field("dpm++2m", description="How noise is removed.")
    size: int | None = Field(None, ge=32, le=2048, multiple_of=8, description="Side in pixels; else the model's own.")


class SubjectArguments(Arguments):
    """Of commands about one subject."""

    name: str = Field(max_length=NAME_MAX, description="The subject's name.", json_schema_extra=OF_SUBJECTS)


class JobArguments(Arguments):
    """Of commands about one job."""

    job: str = Field(
        pattern=r"^[0-9a-f]{6,20}$", description="The job's id, or its first digits.", json_schema_extra=OF_JOBS
    )


class ShareArguments(SubjectArguments):
    """Of `/dreambooth share`."""

    audience: Annotated[Literal["private", "channel", "space"], BeforeValidator(str.lower)] | None = Field(
        None,
        alias="with",
        description="private: only you; channel: all in this channel; space: everybody here.",
        json_schema_extra=BRIEF | BARE,
    )
    group: str | None = Field(
        None,
        pattern=r"^[A-Z0-9]{1,32}$",
        description="A role or user group, in place of private, channel or space.",
        json_schema_extra=OF_GROUPS | BARE,
    )


class RetrainArguments(SubjectArguments):
    """Of `/dreambooth retrain`."""

    steps: int | None = Field(None, ge=1, le=4000, description="Training steps; by default as the last time.")
    choose: Literal["yes", "no"] = Field("no", description=CHOOSE)
    recipe: str | None = Field(None, max_length=NAME_MAX, description=RECIPE)
    changes: str = Field("", alias="set", max_length=PROMPT_MAX, description=SET)
    seed: int = Field(1, ge=0, le=SEED_MAX, description="Seed of everything random in the training.")


class TogetherArguments(Arguments):
    """Of `/dreambooth together`."""

    names: Names = Field(description="Subjects that are there, like: rex mia.")
    method: Method | None = Field(
        None, description="full or lora; by default lora where all of them were learned so, else as the recipe says."
    )
    steps: int | None = Field(
        None, ge=1, le=4000, description="Training steps for each; by default as the recipe says."
    )
    recipe: str | None = Field(None, max_length=NAME_MAX, description=RECIPE)
    changes: str = Field("", alias="set", max_length=PROMPT_MAX, description=SET)
    seed: int = Field(0, ge=0, le=SEED_MAX, description="Seed of everything random in the training.")


class ExportArguments(SubjectArguments):
    """Of `darkroom export`."""

    format: Format = Field(
        "diffusers", description="A folder for diffusers, a single file as web UIs take it, or a LoRA file."
    )
    precision: FilePrecision = Field("half", description="Of the weights in it.")
    rank: int | None = Field(
        None, ge=1, le=256, description="Of a LoRA file that is drawn from a full training; 32 by default."
    )


class ImportArguments(Arguments):
    """Of `darkroom import`, which takes a file besides."""

    name: Name = Field(description="What to call the subject; prompts then say [name].")
    noun: Noun = Field(alias="class", description="What kind of thing it is: dog, mug, robot …")
    trigger: Trigger = Field(description="The word or words that mean it in the file.")


class DraftArguments(Arguments):
    """Of the answers to "how shall I go on with these photos?"."""

    draft: str = Field(pattern=r"^[0-9a-f]{20}$", description="Which photos.")


class PictureArguments(JobArguments):
    """Of *full size*: one picture of a job."""

    number: int = Field(ge=1, le=16, description="Which picture, from 1.")


class ChooseArguments(JobArguments):
    """Of *choose*: one of the candidates of a training."""

    step: int = Field(ge=1, le=4000, description="After which step it was best.")


class VariationsArguments(JobArguments):
    """Of *variations*: the same prompt with seeds near one picture's."""

    seed: int = Field(ge=0, le=SEED_MAX, description="Seed of the picture to vary.")


def check(arguments: type[Arguments], values: dict[str, Any]) -> Arguments:
    """Build `arguments` from text by name; raises ValueError with one sentence per problem."""
    if wrong := problems(arguments, values):
        raise ValueError(" ".join(wrong.values()))
    return arguments.model_validate({k: v for k, v in values.items() if v is not None})


def problems(arguments: type[BaseModel], values: dict[str, Any]) -> dict[str, str]:
    """One sentence per argument, or whatever else is declared, that is wrong, by its name."""
    try:
        arguments.model_validate({k: v for k, v in values.items() if v is not None})
    except ValidationError as error:
        return {str(problem["loc"][0]): _sentence(arguments, problem) for problem in error.errors()}
    return {}


SENTENCES = {  # by pydantic's name of the problem
    "missing": "Please give a {name}: {meaning}",
    "extra_forbidden": "There is no option {name} here.",
    "greater_than_equal": "{Name} must be at least {ge}, not {given}.",
    "less_than_equal": "{Name} must be at most {le}, not {given}.",
    "greater_than": "{Name} must be more than {gt}, not {given}.",
    "bool_parsing": "{Name} must be true or false, not {given}.",
    "multiple_of": "{Name} must be a multiple of {multiple_of}, not {given}.",
    "int_parsing": "{Name} must be a whole number, not {given}.",
    "int_parsing_size": "{Name} must be a whole number, not {given}.",
    "int_from_float": "{Name} must be a whole number, not {given}.",
    "float_parsing": "{Name} must be a number, not {given}.",
    "literal_error": "{Name} must be {expected}, not {given}.",
    "string_too_long": "{Name} is too long: at most {max_length} characters.",
    "string_pattern_mismatch": "{given} is not a {name}. {meaning}",
}


def _sentence(arguments: type[BaseModel], problem: Any) -> str:
    context = {name: _shown(value) for name, value in problem.get("ctx", {}).items()}
    if problem["type"] == "value_error":
        return f"{_capital(context['error'])}."
    name, given = str(problem["loc"][0]), _short(problem["input"])
    sentence = SENTENCES.get(problem["type"], "{Name}: {msg}.")
    known = "" if problem["type"] == "extra_forbidden" else meaning(arguments, name)
    words = {"name": name, "Name": _capital(name), "given": given, "meaning": known, "msg": problem["msg"].lower()}
    return sentence.format(**words, **context)


def _shown(limit: Any) -> str:
    return f"{limit:,.0f}" if isinstance(limit, float | int) and limit == int(limit) else str(limit)


def meaning(arguments: type[BaseModel], name: str) -> str:
    """The description of an argument by its outer name."""
    field = next(f for key, f in arguments.model_fields.items() if (f.alias or key) == name)
    return field.description or ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(given: Any) -> str:
    text = str(given)
    return text if len(text) <= 30 else text[:27] + "…"
