"""What a subject is drawn from: the weights that were learned, or, in families that can, its photos alone."""

from collections.abc import Mapping
from typing import Literal

DrawnFrom = Literal["training", "photos"]

COMPARED = "compared.png"  # the end of the name of the picture that has both, one above the other
FIRST_LOOK = "First look, drawn from your photos before training"


def called_by_photos(noun: str) -> str:
    """What a prompt calls a subject whose photos go with it.

    >>> called_by_photos("dog")
    'the dog from the reference photos'
    """
    return f"the {noun} from the reference photos"


def better_source(learned: Mapping[str, float], first_look: Mapping[str, float]) -> DrawnFrom:
    """Whichever has the better report card; the training where not both were measured, or they are equal."""
    measured = all({"likeness", "obedience"} <= card.keys() for card in (learned, first_look))
    return "photos" if measured and _score(first_look) > _score(learned) else "training"


def _score(card: Mapping[str, float]) -> float:
    """Likeness to the photos in pictures that are as the prompt says; no picture is more like them than they are."""
    return min(1.0, card["likeness"]) * card["obedience"]
