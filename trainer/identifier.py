"""Choose a subject's identifier: a rare token, so that it brings as little meaning of its own as possible.

Ruiz et al. 2022, § 3.2. Never `sks`, the usual choice, which means a rifle to the model.
"""

import hashlib
import re
from collections.abc import Collection
from typing import Any

from storage.errors import UserError

RARE = re.compile(r"[a-z]{3,4}</w>")
FORBIDDEN = {"sks", "gun", "sex", "kkk", "isis", "nude"}
POOL = 100


def candidates(tokenizer: Any) -> list[str]:
    """Short words of one token, the rarest first: a byte-pair vocabulary is ordered by frequency, the rarest last."""
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: -item[1])
    words = [token.removesuffix("</w>") for token, _ in by_id if RARE.fullmatch(token)]
    return [w for w in words if w not in FORBIDDEN and len(tokenizer.tokenize(w)) == 1]


def choose(tokenizer: Any, subject: str, taken: Collection[str] = ()) -> str:
    """Return the identifier of the subject of this id: the same each time, and none of `taken`.

    Raises UserError where all words are taken.
    """
    words = candidates(tokenizer)
    for first in range(0, len(words), POOL):
        if free := [word for word in words[first : first + POOL] if word not in taken]:
            return min(free, key=lambda word: hashlib.sha256(f"{subject} {word}".encode()).digest())
    raise UserError("There are so many subjects here that no word is left for another one. Forget some first.")
