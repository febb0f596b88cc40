"""Questions whose support is known: which pages say the answer, and which say something else."""

from dataclasses import dataclass
from typing import Literal

from tests.servers.web_pages.facts import CHANGED, DISPUTED, UNANSWERABLE, Thing, things
from tests.servers.web_pages.pages import HUGE, INNS, SLOW, all_pages, disputed, encyclopedia, primary, stale

QuestionKind = Literal["one source", "two sources", "contradictory", "stale", "charset", "huge", "slow", "unanswerable"]


@dataclass(frozen=True)
class KnownQuestion:
    """A question; pages are named by host and path."""

    text: str
    kind: QuestionKind
    answer: str = ""  # stands word for word on each page of `support`
    support: tuple[str, ...] = ()
    other_answer: str = ""  # of the pages in `against`, which are stale or contradict the others
    against: tuple[str, ...] = ()


def _question(thing: Thing, number: int) -> KnownQuestion:
    support = (primary(thing).name, *([encyclopedia(thing).name] if number < 3 else []))
    text, answer = thing.question(number), thing.values[number]
    old, other = CHANGED.get(thing.name), DISPUTED.get(thing.name)
    if old and old.attribute == number:
        return KnownQuestion(text, "stale", answer, support, old.value, (stale(thing).name,))
    if other and other.attribute == number:
        return KnownQuestion(text, "contradictory", answer, support, other.value, (disputed(thing).name,))
    return KnownQuestion(text, "two sources" if number < 3 else "one source", answer, support)


def all_questions() -> list[KnownQuestion]:
    """Two hundred about the things, then those about pages that are hard to read, then those that nothing answers."""
    pages = {page.title: page.name for page in all_pages() if page.host.startswith(("inn", "archive", "pottery"))}
    odd = [KnownQuestion(f"How many beds does the {n} have?", "charset", str(v), (pages[n],)) for n, v, *_ in INNS]
    odd += [KnownQuestion(f"How many leaves has the {n}?", "huge", str(v), (pages[n],)) for n, v in HUGE]
    odd += [KnownQuestion(f"At how many degrees does the {n} burn?", "slow", str(v), (pages[n],)) for n, v in SLOW]
    known = [_question(thing, number) for thing in things() for number in range(4)]
    return known + odd + [KnownQuestion(text, "unanswerable") for text in UNANSWERABLE]
