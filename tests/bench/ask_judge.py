"""Counting what is right of answers to questions whose support is known; no model judges."""

import re
from dataclasses import dataclass, field

from storage.contract.ask import Answer
from tests.servers.web_pages.questions import KnownQuestion

TELLS = ("contradictory", "stale")
DECLINED, ANSWERED, RIGHT = (
    "unanswerable questions declined",
    "answerable questions answered",
    "the answer is in the text",
)
FIRST_THREE = "a page with the answer is among the first three sources"
PRECISION = "citation precision (the page says what stands before the marker)"
RECALL = "citation recall (a page with the answer is cited)"
TOLD, NONE_TOLD = "contradictions told, with both values", "none told where there is none"
WANTED = {
    PRECISION: "≥ 0.97",
    RECALL: "≥ 0.95",
    TOLD: "≥ 0.95",
    NONE_TOLD: "all",
    DECLINED: "≥ 0.95",
    ANSWERED: "all",
    RIGHT: "",
    FIRST_THREE: "≥ 0.90",
}


@dataclass
class Score:
    """Counts of one way to answer: hits, and out of how many; and the questions of the misses."""

    counts: dict[str, list[int]] = field(default_factory=dict)
    misses: list[tuple[str, str, str]] = field(default_factory=list)  # what, question, answer

    def add(self, name: str, hit: bool, answer: Answer) -> None:
        """Count one hit or miss."""
        count = self.counts.setdefault(name, [0, 0])
        count[0] += hit
        count[1] += 1
        if not hit:
            self.misses.append((name, answer.question, answer.text))

    def cell(self, name: str) -> str:
        """A figure as the table has it."""
        hits, of = self.counts.get(name, [0, 0])
        return f"{hits / of:.3f} ({hits} of {of})" if of else ""


def judge(score: Score, known: KnownQuestion, answer: Answer, texts: dict[str, str]) -> None:
    """Count one answer against what is known of its question; `texts` are the pages by the id of their source."""
    if known.kind == "unanswerable":
        score.add(DECLINED, not answer.is_found, answer)
        return
    score.add(ANSWERED, answer.is_found, answer)
    score.add(RIGHT, known.answer in answer.text, answer)
    score.add(FIRST_THREE, any(s.id in known.support for s in answer.sources[:3]), answer)
    values = [value for value in (known.answer, known.other_answer) if value]
    for citation in answer.citations:
        if answer.text.startswith(" is out of date", citation.end):
            continue  # which is said of the source itself
        is_supported = supports(texts[citation.source_id], answer.text[: citation.start], values)
        score.add(PRECISION, is_supported, answer)
    if answer.is_found:
        cited = {citation.source_id for citation in answer.citations}
        score.add(RECALL, any(known.answer in texts[page] for page in cited), answer)
    if known.kind in TELLS:
        score.add(TOLD, "disagree" in answer.text and all(value in answer.text for value in values), answer)
    else:
        score.add(NONE_TOLD, "disagree" not in answer.text, answer)


def supports(page: str, before: str, values: list[str]) -> bool:
    """Whether a page says what stands before a marker (ALCE's citation precision, exact): its last words, or a value.

    The model and the quotations copy sentences, so that what they say stands word for word on the page.
    """
    said = re.sub(r"(?:\s*\[\d+\])+\s*$", "", before).rstrip(" ”.").rpartition("\n")[2]
    words = " ".join(re.split(r"[“”]|\[\d+\]", said)[-1].split()[-5:])
    told = re.search(r"(?:says|as of \S+:) ([^\[\];]+)$", said)
    return (told[1] if told else words) in page or any(value in page and value in said for value in values)
