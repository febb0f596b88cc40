"""Subjects in prompts: `[rex]` by name, `[V]` for the one given or the person's newest."""

import difflib
import re

from storage.errors import UserError
from storage.subjects import Subject

BRACKET = re.compile(r"\[([^\[\]]{1,64})\]")


def find_subject(prompt: str, subjects: list[Subject], user: str, given: str | None) -> Subject | None:
    """Return the subject that `prompt` names, out of `subjects` (newest first), or None if it names none.

    Raises UserError for an unknown name, with the closest ones; for one that is not ready; and for two at once.
    """
    names = list(dict.fromkeys(m.strip().casefold() for m in BRACKET.findall(prompt)))
    if given and not names:
        raise UserError(f"To draw {given}, write [V] or [{given}] in the prompt, like: a [{given}] in Paris.")
    if len(names) > 1:
        raise UserError("One subject at a time, please: a prompt can name only one.")
    if not names:
        return None
    subject = _newest_or(given, subjects, user) if names[0] == "v" else by_name(names[0], subjects)
    if subject.state != "ready":
        raise UserError(f"{subject.name} is not ready yet." if subject.state == "learning" else _failed(subject))
    if not BRACKET.sub("", prompt).strip(" ,."):
        raise UserError(
            f"Say more than [{subject.name}]: where it is or what it does, like: "
            f"a [{subject.name}] {subject.noun} in Paris."
        )
    return subject


def by_name(name: str, subjects: list[Subject]) -> Subject:
    """Return the subject called `name`; raises UserError with the closest names."""
    for subject in subjects:
        if subject.name.casefold() == name.casefold():
            return subject
    known = [s.name for s in subjects]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3]
    hint = f"Did you mean {' or '.join(close)}?" if close else "There are none yet: /dreambooth train makes one."
    raise UserError(f"There is no subject called {name}. {hint}")


def _newest_or(given: str | None, subjects: list[Subject], user: str) -> Subject:
    if given:
        return by_name(given, subjects)
    for subject in subjects:
        if subject.owner == user and subject.state == "ready":
            return subject
    raise UserError("You have no subject yet that [V] could mean: /dreambooth train makes one.")


def _failed(subject: Subject) -> str:
    return f"{subject.name} could not be learned, so it cannot be drawn. Train it again."


def model_prompt(prompt: str, subject: Subject | None) -> str:
    """Write the prompt as the model reads it: the identifier, with its class noun if the person left that out.

    >>> # for a subject with identifier "zof" and noun "dog"
    >>> # "a [rex] dog in Paris" → "a zof dog in Paris"; "[rex] in Paris" → "zof dog in Paris"
    """
    if subject is None:
        return prompt

    def stand_in(match: re.Match[str]) -> str:
        follows = prompt[match.end() :].lstrip().casefold()
        named = re.match(rf"{re.escape(subject.noun.casefold())}\b", follows)
        return subject.identifier if named else f"{subject.identifier} {subject.noun}"

    return BRACKET.sub(stand_in, prompt)
