"""Every command's arguments, declared once: name, meaning, limits, default.

Parsing, checking, help, completion, forms, terminal options and `docs/commands.md` all come from these classes.
"""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from storage.jobs import SEED_MAX, Method, SchedulerName

PROMPT_MAX = 1000
NAME_MAX = 32
NOUN_MAX = 40


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


Name = Annotated[str, AfterValidator(_checked_name)]
Noun = Annotated[str, AfterValidator(_checked_noun)]
Prompt = Annotated[str, AfterValidator(_checked_prompt)]


class Arguments(BaseModel):
    """Base of all arguments: whatever is not declared is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Arguments):
    """Of commands that take no arguments."""


class TrainArguments(Arguments):
    """Of `/dreambooth train`; the photos come as files."""

    name: Name = Field(description="What to call the subject; prompts then say [name].")
    noun: Noun = Field(alias="class", description="What kind of thing it is: dog, mug, robot …")
    method: Method = Field("full", description="full learns the whole model, the paper's way.")
    steps: int | None = Field(None, ge=1, le=4000, description="Training steps; by default as the recipe says.")
    seed: int = Field(0, ge=0, le=SEED_MAX, description="Seed of everything random in the training.")


class ImagineArguments(Arguments):
    """Of `/imagine`."""

    prompt: Prompt = Field(description="What to draw; [name] or [V] stands for your subject.")
    subject: str | None = Field(None, max_length=NAME_MAX, description="The subject that [V] means; else your newest.")
    count: int = Field(4, ge=1, le=16, description="How many pictures.")
    seed: int | None = Field(None, ge=0, le=SEED_MAX, description="Seed of the first picture; by default chance.")
    steps: int = Field(30, ge=1, le=150, description="Denoising steps.")
    guidance: float = Field(5.0, ge=1, le=30, description="Guidance scale: how closely to follow the prompt.")
    negative: str = Field("", max_length=PROMPT_MAX, description="What the picture should not show.")
    scheduler: SchedulerName = Field("dpm++2m", description="How noise is removed.")
    size: int | None = Field(None, ge=32, le=2048, multiple_of=8, description="Side in pixels; else the model's own.")


class SubjectArguments(Arguments):
    """Of commands about one subject."""

    name: str = Field(max_length=NAME_MAX, description="The subject's name.")


class JobArguments(Arguments):
    """Of commands about one job."""

    job: str = Field(pattern=r"^[0-9a-f]{6,20}$", description="The job's id, or its first digits.")


class VariationsArguments(JobArguments):
    """Of *variations*: the same prompt with seeds near one picture's."""

    seed: int = Field(ge=0, le=SEED_MAX, description="Seed of the picture to vary.")


def check(arguments: type[Arguments], values: dict[str, Any]) -> Arguments:
    """Build `arguments` from text by name; raises ValueError with one sentence per problem."""
    try:
        return arguments.model_validate({k: v for k, v in values.items() if v is not None})
    except ValidationError as error:
        raise ValueError(" ".join(_sentence(arguments, problem) for problem in error.errors())) from None


def _sentence(arguments: type[Arguments], problem: Any) -> str:
    name = str(problem["loc"][0])
    given, context = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"Please give a {name}: {meaning(arguments, name)}"
        case "extra_forbidden":
            return f"There is no option {name} here."
        case "value_error":
            return f"{_capital(str(context['error']))}."
        case "greater_than_equal":
            return f"{_capital(name)} must be at least {context['ge']:g}, not {_short(given)}."
        case "less_than_equal":
            return f"{_capital(name)} must be at most {context['le']:g}, not {_short(given)}."
        case "int_parsing" | "int_parsing_size" | "int_from_float":
            return f"{_capital(name)} must be a whole number, not {_short(given)}."
        case "float_parsing":
            return f"{_capital(name)} must be a number, not {_short(given)}."
        case "literal_error":
            return f"{_capital(name)} must be {context['expected']}, not {_short(given)}."
        case "string_too_long":
            return f"{_capital(name)} is too long: at most {context['max_length']} characters."
        case _:
            return f"{_capital(name)}: {problem['msg'].lower()}."


def meaning(arguments: type[Arguments], name: str) -> str:
    """The description of an argument by its outer name."""
    field = next(f for key, f in arguments.model_fields.items() if (f.alias or key) == name)
    return field.description or ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(given: Any) -> str:
    text = str(given)
    return text if len(text) <= 30 else text[:27] + "…"
