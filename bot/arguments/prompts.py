"""Subjects in prompts: `[rex]` by name, `[V]` for the one given or the person's newest."""

import difflib
import re
from collections.abc import Mapping, Sequence

from storage.contract.compatibility import check_compatible
from storage.contract.photo_source import called_by_photos
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.nouns import folded
from storage.text import find_word, fold

BRACKET = re.compile(r"\[([^\[\]]{1,64})\]")
CLOSE = 0.6  # how alike two names are of which one may be meant: difflib's ratio, and its usual bound
LISTED = 5  # names of subjects in a sentence
SUBJECT = re.compile(r"(\b(an?|the|my|our)\s+)?\[(?P<name>[^\[\]]{1,64})\]", re.IGNORECASE)
V = re.compile(r"\[\s*v\s*\]", re.IGNORECASE)


Named = Mapping[str, Subject]  # by what stands in the brackets, folded


def find_subjects(prompt: str, subjects: list[Subject], user: str, given: str | None) -> Named:
    """Return the subjects that `prompt` names, out of `subjects` (newest first), in its order.

    Raises UserError for an unknown name, with the closest ones; for one that is not ready; and for those that cannot be
    in one picture.
    """
    names = list(dict.fromkeys(fold(m) for m in BRACKET.findall(prompt)))
    if given and not names:
        raise UserError(f"To draw {given}, write [V] or [{given}] in the prompt, like: a [{given}] in Paris.")
    named = {n: _newest_or(given, subjects, user) if n == "v" else by_name(n, subjects) for n in names}
    for subject in named.values():
        if not subject.is_drawable:
            raise UserError(_not_ready(subject))
    if named and not BRACKET.sub("", prompt).strip(" ,."):
        subject = next(iter(named.values()))
        raise UserError(
            f"Say more than [{subject.name}]: where it is or what it does, like: "
            f"a [{subject.name}] {subject.noun} in Paris."
        )
    check_compatible(different(named))
    return named


def names_in(prompt: str, given: str | None) -> list[str]:
    """The names that a prompt has in brackets, in its order; *v* for [V] where nothing is `given` that it stands for.

    >>> names_in("a [rex] and a [V] in [Rex]'s house", None), names_in("a [V]", "tom"), names_in("a dog", "tom")
    (['rex', 'v'], ['tom'], ['tom'])
    """
    names = [match.strip().casefold() for match in BRACKET.findall(prompt)]
    meant = given.casefold() if given else ""
    names = [meant if name == "v" and meant else name for name in names]
    return list(dict.fromkeys(names or filter(None, [meant])))


def different(named: Named) -> list[Subject]:
    """The subjects that a prompt names, each once: [V] may be one that is named besides."""
    return list({subject.id: subject for subject in named.values()}.values())


def by_name(name: str, subjects: list[Subject]) -> Subject:
    """Return the subject called `name`; raises UserError with the closest names."""
    for subject in subjects:
        if fold(subject.name) == fold(name):
            return subject
    known = [s.name for s in subjects]
    if not known:
        hint = "There are none yet: /dreambooth train makes one."
    elif close := difflib.get_close_matches(name, known, n=3, cutoff=CLOSE):
        hint = f"Did you mean {' or '.join(close)}?"
    else:
        hint = f"Known here: {', '.join(known[:LISTED])}{' and others' if len(known) > LISTED else ''}."
    raise UserError(f"There is no subject called {name}. {hint}")


def _newest_or(given: str | None, subjects: list[Subject], user: str) -> Subject:
    if given:
        return by_name(given, subjects)
    for subject in subjects:
        if subject.owner == user and subject.is_drawable:
            return subject
    raise UserError("You have no subject yet that [V] could mean: /dreambooth train makes one.")


def _not_ready(subject: Subject) -> str:
    if subject.state == "learning":
        return f"{subject.name} is not ready yet."
    if subject.state != "failed":
        return f"A newer version of me made {subject.name}, and only that one can draw it as it is."
    return f"{subject.name} could not be learned, so it cannot be drawn. Train it again."


def model_prompt(prompt: str, named: Named) -> str:
    """Write the prompt as the model reads it: identifiers, each with its class noun if the person left that out.

    >>> # for a subject with identifier "zof" and noun "dog"
    >>> # "a [rex] dog in Paris" → "a zof dog in Paris"; "[rex] in Paris" → "zof dog in Paris"
    """

    def stand_in(match: re.Match[str]) -> str:
        subject = named.get(fold(match[1]))
        if subject is None:
            return match[0]
        names_class = _begins_with(prompt[match.end() :], subject.noun)
        return subject.identifier if names_class else f"{subject.identifier} {subject.noun}"

    return BRACKET.sub(stand_in, prompt)


def from_photos(named: Named) -> bool:
    """Whether a prompt is drawn from the photos of its subject and not by what was learned: of one alone."""
    return len(different(named)) == 1 and next(iter(named.values())).is_drawn_from_photos


def photo_prompt(prompt: str, named: Named) -> str:
    """Write the prompt as a model reads it that has the subject's photos beside it.

    >>> # for a subject with noun "dog": "a [rex] dog in Paris", as well as "[rex] in Paris" →
    >>> # "the dog from the reference photos in Paris"
    """
    written, at = "", 0
    for match in SUBJECT.finditer(prompt):
        if subject := named.get(fold(match["name"])):
            written += prompt[at : match.start()] + called_by_photos(subject.noun)
            at = match.end()
            if _begins_with(prompt[at:], subject.noun):
                at = _end_of_words(prompt, at, subject.noun.count(" ") + 1)
    return written + prompt[at:]


def _end_of_words(text: str, start: int, count: int) -> int:
    """Where so many words of a text end."""
    words = re.compile(rf"(\s*[\w-]+){{{count}}}").match(text, start)
    return words.end() if words else start


def _begins_with(text: str, noun: str) -> bool:
    """Whether a text begins with a noun, in whatever case or number.

    >>> _begins_with(" dog's house", "dog"), _begins_with(" Puppies in Paris", "puppy"), _begins_with("house", "dog")
    (True, True, False)
    """
    place = find_word(fold(text), fold(noun))
    first_words = " ".join(text.split()[: noun.count(" ") + 1])
    return (place is not None and place[0] == 0) or folded(first_words) == folded(noun)


def named_again(prompt: str, subjects: Sequence[Subject]) -> Named:
    """The subject of a prompt of before, whatever stands for it in brackets: it may have been [V]."""
    return {fold(match): subjects[0] for match in BRACKET.findall(prompt)}


def by_names(prompt: str, subjects: Sequence[Subject]) -> str:
    """Write a prompt of before with a name for [V]: that of the first of its subjects that has none in it yet."""
    written = {fold(match) for match in BRACKET.findall(prompt)}
    meant = next((s for s in subjects if fold(s.name) not in written), subjects[0])
    return V.sub(f"[{meant.name}]", prompt)
