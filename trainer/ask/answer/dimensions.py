"""What kind of quantity a question asks for: “how deep” asks for a length, “what does … weigh” for a mass."""

import re
from collections.abc import Mapping

from storage.data_files import read_toml
from trainer.ask.citations.units import dimension_of

QUESTION_WORDS = read_toml("trainer.ask.answer", "question_words.toml")
AMOUNTS = re.compile(  # which are high without being anywhere: how high is the fine, the turnout
    r"\bhow (?:high|low|large|big) (?:is|are|was|were) (?:the )?(?:\w+ )?(?:excess|deductible|fine|penalty|reward|"
    r"grant|share|rate|interest|inflation|tax|turnout|unemployment|demand|risk|score|rating|dose|dosage|level|number|"
    r"proportion|percentage|subsidy|dividend|deposit|bill|bonus|fee|fees|price|prices|cost|costs|rent|salary|wage|debt|"
    r"budget|deficit|loss|profit|revenue|income|toll|fare|temperature|fever|pressure|pulse)\b"
)
HOW = re.compile(r"\bhow (\w+)(?: (\w+))?")
NOT_COMPOUND = r"(?=\s+(?:of|at|on|in|for|to|from|per|between|does|do|did|has|have|had|is|was|are|were|should|can|may|must|will|would)\b|\W*$)"  # noqa: E501 - one alternative for each word that may follow


def _by_word(table: Mapping[str, str]) -> dict[str, frozenset[str]]:
    words = {word for spelled in table.values() for word in spelled.split()}
    return {word: frozenset(d for d, spelled in table.items() if word in spelled.split()) for word in words}


_TABLES: list[Mapping[str, str]] = [QUESTION_WORDS[part] for part in ("adjectives", "nouns", "verbs")]
_ADJECTIVES, _NOUNS, _VERBS = map(_by_word, _TABLES)
_NAMED = re.compile(rf"\b(?:what|which)\b.*?\b({'|'.join(_NOUNS)}){NOT_COMPOUND}")
_DONE = re.compile(rf"\b(?:how much|what|which)\b.*\b({'|'.join(_VERBS)})\b")
_HOW_MUCH_IS = re.compile(r"\bhow much (?:is|are|was|were)\b")
_HOW_MUCH_IS_NOUN = re.compile(  # the annual rainfall, but not the ticket for a distance
    rf"{_HOW_MUCH_IS.pattern}(?:\s+(?!(?:of|for|at|in|on|to|from|with|per)\b)\w+){{0,3}}?\s+({'|'.join(_NOUNS)}){NOT_COMPOUND}"
)
_HOW_MUCH_NOUN = re.compile(rf"\bhow much ({'|'.join([*_NOUNS, 'money'])})\b")
BOUGHT = ("energy", "power")  # of which may be asked what they cost
_IN_UNIT = re.compile(rf"{_HOW_MUCH_IS.pattern}.*\bin (\w+)\W*$")  # 5 miles in kilometres


def asked_dimensions(question: str) -> frozenset[str]:
    """The dimensions that an answer may have; none where any number, or no number, may be the answer.

    >>> sorted(asked_dimensions("How long is the bridge?")), asked_dimensions("How many minutes does it take?")
    (['duration', 'length'], frozenset({'duration'}))
    """
    lowered = question.lower()
    how = HOW.search(lowered)
    if how and how[1] == "many":
        return frozenset(filter(None, [dimension_of(how[2] or "", 2)]))
    if amount := AMOUNTS.search(lowered):
        return _NOUNS.get(amount[0].rpartition(" ")[2], frozenset())
    if how and how[1] in _ADJECTIVES:
        return _ADJECTIVES[how[1]]
    if named := _NAMED.search(lowered):
        return _NOUNS[named[1]]
    if noun := _HOW_MUCH_NOUN.search(lowered):
        return _NOUNS.get(noun[1], frozenset({"money"}))
    if done := _DONE.search(lowered):
        return _VERBS[done[1]]
    return _how_much_is(lowered)


def _how_much_is(lowered: str) -> frozenset[str]:
    """What “how much is …” asks for: money, unless it names another quantity or unit."""
    if noun := _HOW_MUCH_IS_NOUN.search(lowered):
        return _NOUNS[noun[1]] | ({"money"} if noun[1] in BOUGHT else frozenset())
    if (unit := _IN_UNIT.search(lowered)) and (dimension := dimension_of(unit[1])):
        return frozenset({dimension})
    return frozenset({"money"}) if _HOW_MUCH_IS.search(lowered) else frozenset()


def dimension_words(dimensions: frozenset[str]) -> frozenset[str]:
    """The words that ask for these dimensions, or name them."""
    return frozenset(word for table in _TABLES for each in dimensions for word in table.get(each, "").split())
