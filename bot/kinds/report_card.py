"""The report card of a subject in words: what was measured, and what to do where it is not good."""

from collections.abc import Iterator, Mapping

from storage.contract.subjects import Subject

LEAST_LIKENESS, LEAST_OBEDIENCE, LEAST_DIVERSITY = 0.5, 0.6, 0.5
MOST_HIJACKED, MOST_DRIFT = 0.25, 0.25
ENOUGH_PHOTOS = 4  # that differ: recipes are made for as many


def in_words(metrics: Mapping[str, float], noun: str) -> dict[str, str]:
    """What was measured, by what it is called; nothing of a subject that nobody looked at.

    Of a card that another version made, what is known here.
    """
    facts = {"likeness": _likeness(metrics, noun)} if "likeness" in metrics else {}
    words = {
        "obedience": "follows the prompt",
        "hijacked": f"any {noun} looks like it",
        "diversity": f"variety of any {noun}",
    }
    if "portrait" not in metrics:  # of one that people chose: no more than a glance was taken at it
        words = {"drift": f"drift of any {noun} towards it"}
    facts |= {called: _percent(metrics[name]) for name, called in words.items() if name in metrics}
    if (variety := words.get("diversity", "")) in facts:
        facts[variety] += " of the base model's"
    return facts


def _likeness(metrics: Mapping[str, float], noun: str) -> str:
    portraits = f"{metrics['portrait']:.2f} in portraits" if "portrait" in metrics else "at a glance"
    return f"{metrics['likeness']:.2f} in places, {portraits} (0: any other {noun}, 1: the photos)"


def at_a_glance(measures: Mapping[str, float], noun: str) -> str:
    """What was measured of one candidate, for a line among others.

    >>> at_a_glance({"score": 0.88, "likeness": 0.91, "drift": 0.03}, "dog")
    'likeness 0.91, drift of any dog 3 %'
    """
    likeness = f"likeness {measures['likeness']:.2f}" if "likeness" in measures else ""
    drift = f"drift of any {noun} {_percent(measures['drift'])}" if "drift" in measures else ""
    return ", ".join(filter(None, (likeness, drift)))


def on_sources(subject: Subject) -> str:
    """What a subject is drawn from, with what was measured of both ways; empty where there is but one."""
    if subject.state != "ready" or not subject.has_photo_source:
        return ""
    now = "from its photos alone" if subject.is_drawn_from_photos else "as it was learned"
    cards = [_briefly(card) for card in (subject.first_look, subject.metrics)]
    measured = f" Before, from the photos alone: {cards[0]}. After, as learned: {cards[1]}." if all(cards) else ""
    return f"[{subject.name}] is drawn {now}; the button below, or /dreambooth use, changes that.{measured}"


def _briefly(card: Mapping[str, float]) -> str:
    """Likeness and obedience of a card, for a sentence; empty where they were not measured.

    >>> _briefly({"likeness": 0.62, "obedience": 0.875})
    'likeness 0.62, follows the prompt 88 %'
    """
    if not {"likeness", "obedience"} <= card.keys():
        return ""
    return f"likeness {card['likeness']:.2f}, follows the prompt {_percent(card['obedience'])}"


def advice_on(subject: Subject) -> str:
    """What to do about a subject as it is now."""
    if subject.state != "ready":
        return ""
    return advice(subject.metrics, subject.noun, len(subject.photos), subject.photos_differ)


def advice(metrics: Mapping[str, float], noun: str, photos: int, differ: int) -> str:
    """What to do about a bad card, and about too few photos; `differ` of them are unlike all others, 0: who knows.

    In sentences; empty where all is good.
    """
    return " ".join((*_on_photos(photos, differ), *_on_measures(metrics, noun)))


def _on_photos(photos: int, differ: int) -> Iterator[str]:
    """A burst shows hardly more than one of its photos; that is counted, for similar to a judge are good ones, too."""
    if photos == 1:
        yield "There is only one photo of it: add some from other sides."
    elif differ == 1:
        yield "The photos are nearly identical: add some from other sides."
    elif differ and differ < ENOUGH_PHOTOS and 2 * differ <= photos:
        yield f"Only {differ} of the {photos} photos differ: add some from other sides."


def _on_measures(metrics: Mapping[str, float], noun: str) -> Iterator[str]:
    if metrics.get("likeness", 1) < LEAST_LIKENESS:
        yield "It does not look much like the photos yet: more steps or clearer photos may help."
    if metrics.get("obedience", 1) < LEAST_OBEDIENCE:
        yield "It does not always follow the prompt: photos with other backgrounds or fewer steps help."
    hijacked = metrics.get("hijacked", 0) > MOST_HIJACKED or metrics.get("drift", 0) > MOST_DRIFT
    if hijacked or metrics.get("diversity", 1) < LEAST_DIVERSITY:
        yield f"Any {noun} begins to look like it: fewer steps help."


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"
