"""Choose a subject's identifier: a rare token, so that it brings as little meaning of its own as possible.

Ruiz et al. 2022, § 3.2. Never `sks`, the usual choice, which means a rifle to the model.
"""

import hashlib
from collections.abc import Collection, Sequence

from torch import Tensor

from storage.errors import UserError

FORBIDDEN = {"sks", "gun", "sex", "kkk", "isis", "nude"}
POOL = 100
MOST_MEANING = 2.0  # of a word, as a multiple of the usual one


def meaningless(words: Sequence[str], readings: Tensor) -> list[str]:
    """Those of the words that mean little; `readings`, n × d, is what a prompt with each is read as.

    Most rare words change nothing of a prompt. Some mean something all the same, if only to this model, like snow.
    """
    meaning = (readings - readings.median(0).values).norm(dim=1)
    usual = meaning.median()
    return [word for word, how_much in zip(words, meaning, strict=True) if how_much <= MOST_MEANING * usual]


def choose(words: Sequence[str], subject: str, taken: Collection[str] = ()) -> str:
    """Return which of `words` is the identifier of the subject of this id: the same each time, and none of `taken`.

    Raises UserError where all words are taken.
    """
    for first in range(0, len(words), POOL):
        if free := [word for word in words[first : first + POOL] if word not in taken]:
            return min(free, key=lambda word: hashlib.sha256(f"{subject} {word}".encode()).digest())
    raise UserError("There are so many subjects here that no word is left for another one. Forget some first.")
