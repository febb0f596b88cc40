"""What a question begins with that asks for nothing: “could you tell me”, “name the”."""

import re

PREAMBLE = re.compile(
    r"(?:(?:please|hi|hello|hey|so|and|ok|okay|excuse me)\b[,!.]?\s+)*"
    r"(?:(?:can|could|would|will) (?:you|someone|anyone|anybody) (?:please )?(?:tell|inform|remind) me\s+|"
    r"(?:please )?(?:tell|remind) me\s+|(?:do|does) (?:you|anyone|anybody|someone) (?:happen to )?know\s+|"
    r"i(?:['’]d| would| want| wanted) (?:like )?to know\s+|i wonder\s+|i was wondering\s+|any idea\s+|"
    r"do you have any idea\s+)(?=(?:in |at |on |by |from |to )?(?:who|what|when|where|which|why|how|whose|whom|the)\b)",
    re.IGNORECASE,
)
IMPERATIVE = re.compile(r"^\s*(?:name|give(?: me)?|state|find(?: out)?)\s+(?=the\b|its\b|their\b)", re.IGNORECASE)


def without_preamble(text: str) -> str:
    """A question without what asks for an answer at all: “could you tell me”.

    >>> without_preamble("Could you tell me when Elm Mills was founded?")
    'when Elm Mills was founded?'
    """
    return IMPERATIVE.sub("what is ", PREAMBLE.sub("", text, count=1), count=1)
