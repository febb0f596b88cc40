"""What kind of fact a question asks for: a number, a share, a day, the name of a person or a place."""

import re

from trainer.ask.answer.dimensions import NOT_COMPOUND, QUESTION_WORDS
from trainer.ask.answer.languages import AskedKind

PERCENT = re.compile(r"\b(?:percentage|percent|per cent|what (?:share|proportion|fraction))\b")
DATE = re.compile(
    r"^(?:(?!\b(?:what|which|who|whom|whose|where|how|why)\b).)*\bwhen\b|"  # and not: what happened when
    r"\b(?:what|which) (?:exact )?(?:year|date|day|month|week|time|century|decade|season)\b|"
    rf"\b(?:date|deadline|birthday|birthdate){NOT_COMPOUND}"
)
COUNT = re.compile(
    r"\bhow (?:many|much|often|big|large|frequent|frequently)\b|\b(?:number|population|capacity|total) of\b|"
    rf"\b(?:population|capacity|headcount|attendance|workforce){NOT_COMPOUND}"
)
AUXILIARY = "(?:do|does|did|is|are|was|were|has|have|had|will|would|can|could)"
PERSON, PLACE = ("|".join(QUESTION_WORDS["names"][part]) for part in ("people", "places"))
WHO = re.compile(
    rf"^(?:\w+ )?(?:who|whom)\b|\b(?:what|which) (?:person|people)\b|\b(?:what|which)(?:['’]s| is| was| are| were)? "
    rf"(?:the )?(?:name of )?(?:the |its |their )?(?:(?!{AUXILIARY}\b)\w+ ){{0,2}}?(?:{PERSON})\b(?!['’])|"
    rf"^(?:{PERSON})s? of\b",
    re.IGNORECASE,
)
WHO_IS = re.compile(rf"^(?:\w+ )?who(?:['’]s| is| was| are| were)\b|\b(?:{PERSON})s?\b", re.IGNORECASE)
WHO_MAY = re.compile(  # which a class of people answers, not a name
    r"^who(?:m)? (?:can|could|may|might|must|should|needs?|(?:is|are) (?:allowed|entitled|eligible|permitted|exempt)|"
    r"has to|have to)\b",
    re.IGNORECASE,
)
WHERE = re.compile(
    rf"^(?:\w+ )?where\b|\b(?:what|which) (?:{PLACE})\b|"
    rf"\b(?:what|which)(?:['’]s| is| was) (?:the|its|their|[\w' -]+?['’]s?) (?:{PLACE})\b|^(?:{PLACE}) of\b",
    re.IGNORECASE,
)
WHOSE = re.compile(r"^(?:\w+ )?whose\b", re.IGNORECASE)


def kind_asked(question: str, has_dimension: bool) -> AskedKind:
    """The kind of fact that an English question asks for; empty if that is not known."""
    lowered = question.lower()
    if PERCENT.search(lowered):
        return "percent"
    if has_dimension or COUNT.search(lowered):
        return "number"
    if DATE.search(lowered):
        return "date"
    if WHO_MAY.search(question):
        return ""
    return "name" if any(pattern.search(question) for pattern in (WHO, WHERE, WHOSE)) else ""
