"""What people may write: names, kinds of things, prompts; each says itself what is wrong with it."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from storage.contract.compatibility import SUBJECTS_MOST
from storage.contract.sizes import read_size
from storage.nouns import DETERMINERS, bare
from storage.text import HYPHENS, fold, is_word_character, one_line

PROMPT_MAX = 1000
NAME_MAX = 32
NOUN_MAX = 40
TRIGGER_MAX = 60
SIZE_MAX = 15


def _checked_name(name: str) -> str:
    name = one_line(name).translate(HYPHENS)
    if not name:
        raise ValueError("a name needs at least one letter")
    if len(name) > NAME_MAX:
        raise ValueError(f"a name has at most {NAME_MAX} characters, this one has {len(name)}")
    if not all(is_word_character(c) or c in "-_'’" for c in name):
        raise ValueError("a name is made of letters, digits, - and _ only")
    if not any(unicodedata.category(c)[0] in "LN" for c in name):
        raise ValueError("a name needs at least one letter or digit")
    if name.startswith("-"):  # it would be read as an option
        raise ValueError("a name begins with a letter or a digit")
    # Folded, as names are when they are compared: every way of writing V would shadow it.
    if fold(name) == "v":
        raise ValueError("[V] always means your newest subject, so no subject can be called V")
    return name


def _checked_noun(noun: str) -> str:
    noun = bare(noun.translate(HYPHENS))
    if not noun or fold(noun) in DETERMINERS:
        raise ValueError("say what kind of thing it is in a word or two, like dog or coffee mug")
    letters = any(unicodedata.category(c)[0] == "L" for c in noun)
    if not letters or len(noun) > NOUN_MAX or not all(is_word_character(c) or c in " -'’" for c in noun):
        raise ValueError(f"a kind of thing is a word or two of letters, at most {NOUN_MAX} characters, like coffee mug")
    return noun


def _checked_prompt(prompt: str) -> str:
    prompt = one_line(prompt)
    if not prompt:
        raise ValueError("say what the picture should show, like: a [rex] dog in Paris")
    if len(prompt) > PROMPT_MAX:
        raise ValueError(f"a prompt has at most {PROMPT_MAX} characters, this one has {len(prompt):,}")
    return prompt


def _checked_size(size: str) -> str:
    wide, high = read_size(size)
    return str(wide) if wide == high else f"{wide}x{high}"


def _text(longest: int) -> WithJsonSchema:
    """A maximum length in the JSON schema, for forms; the validator itself refuses in a better sentence."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": longest})


def _checked_trigger(trigger: str) -> str:
    trigger = one_line(trigger)
    if not trigger:
        raise ValueError("say which words mean it in the file; whoever made it tells them")
    if len(trigger) > TRIGGER_MAX or set(trigger) & set("[]"):
        raise ValueError(f"a trigger has at most {TRIGGER_MAX} characters and no brackets")
    return trigger


def _checked_names(names: str) -> str:
    each = names.replace(",", " ").split()
    if not 2 <= len({fold(name) for name in each}) == len(each) <= SUBJECTS_MOST:
        raise ValueError(f"name two subjects or more, {SUBJECTS_MOST} at most and each once, like: rex mia")
    return " ".join(each)


Name = Annotated[str, AfterValidator(_checked_name), _text(NAME_MAX)]
Noun = Annotated[str, AfterValidator(_checked_noun), _text(NOUN_MAX)]
Names = Annotated[str, AfterValidator(_checked_names), _text(SUBJECTS_MOST * (NAME_MAX + 1))]
Trigger = Annotated[str, AfterValidator(_checked_trigger), _text(TRIGGER_MAX)]
PictureSize = Annotated[str, BeforeValidator(str), AfterValidator(_checked_size), _text(SIZE_MAX)]
Prompt = Annotated[str, AfterValidator(_checked_prompt), _text(PROMPT_MAX)]
