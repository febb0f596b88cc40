"""Toyworld's tokenizer: CLIP's byte-pair encoding over a small vocabulary that still takes any text.

Every byte is a token, every word of Toyworld is one token, and after them, last as the rare tokens of the real
CLIP are, come three-letter words without meaning: a subject's identifier is one of those.
"""

import json
from itertools import product
from pathlib import Path

from transformers import CLIPTokenizer

from trainer.toyworld.words import ACCESSORIES, CLASSES, COLOURS, OPENINGS, PATTERNS, PLACES

COMMON = (
    "a an the of in on at with and or to for from by under over near behind beside between inside "
    "photo picture drawing painting sketch portrait close up view wearing holding sitting standing running "
    "small large big tiny old new happy sad dark light bright plain house street city forest water sky sun tree grass "
    "flower rain river lake sea sand stone glass metal toy animal stuffed shoe sneaker can candle clock vase "
    "plushie cup background floor table chair rug red blue two one three little mountain eiffel tower"
).split()
RARE_WORDS = tuple(a + b + c for a, b, c in product("bfgjkqvwxz", "ou", "fkqvxz"))
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> list[str]:
    """The letter that stands for each byte in a byte-level vocabulary: printable ones for themselves."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(b if b in printable else next(spare)) for b in range(256)]


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return tokens with their ids, and the merges that make each known word one token."""
    words = " ".join((*CLASSES, *COLOURS, *PLACES, *ACCESSORIES, *PATTERNS, *OPENINGS)).lower().split()
    letters = byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in dict.fromkeys((*words, *COMMON, *RARE_WORDS)):
        parts = [*word[:-1], word[-1] + "</w>"]
        for pair in merges:  # what earlier words taught, in their order, as the tokenizer will apply it
            parts = _merged(parts, pair)
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = _merged(parts, merges[-1])
    tokens += ["".join(pair) for pair in merges]
    return {token: i for i, token in enumerate(dict.fromkeys((*tokens, START, END)))}, merges


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def write_tokenizer(folder: Path, max_tokens: int) -> CLIPTokenizer:
    """Write the tokenizer's files into `folder` and load it from there."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens, merges = vocabulary()
    (folder / "vocab.json").write_text(json.dumps(tokens, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=max_tokens)
    tokenizer.save_pretrained(folder)
    return tokenizer
