"""The report card of a subject in words: what was measured, and what to do where it is not good."""

from collections.abc import Mapping

LEAST_LIKENESS, LEAST_OBEDIENCE, LEAST_DIVERSITY = 0.5, 0.6, 0.5
MOST_HIJACKED, MOST_ALIKE = 0.25, 0.97


def in_words(metrics: Mapping[str, float], noun: str) -> dict[str, str]:
    """What was measured, by what it is called; nothing of a subject that has no report card."""
    if not metrics:
        return {}
    return {
        "likeness": f"{metrics['likeness']:.2f} in places, {metrics['portrait']:.2f} in portraits "
        f"(0: any other {noun}, 1: the photos)",
        "goes where it is told": _percent(metrics["obedience"]),
        f"any {noun} looks like it": _percent(metrics["hijacked"]),
        f"variety of any {noun}": f"{_percent(metrics['diversity'])} of before",
    }


def advice(metrics: Mapping[str, float], noun: str, photos: int) -> str:
    """What to do about a bad card, in sentences; empty for a good one."""
    if not metrics:
        return ""
    sentences = []
    if photos > 1 and metrics["photos_alike"] > MOST_ALIKE:
        sentences.append("The photos are nearly identical: add some from other sides.")
    if metrics["likeness"] < LEAST_LIKENESS:
        sentences.append("It does not look much like the photos yet: more steps or clearer photos may help.")
    if metrics["obedience"] < LEAST_OBEDIENCE:
        sentences.append("It does not always go where it is told: photos with other backgrounds or fewer steps help.")
    if metrics["hijacked"] > MOST_HIJACKED or metrics["diversity"] < LEAST_DIVERSITY:
        sentences.append(f"Any {noun} begins to look like it: fewer steps help.")
    return " ".join(sentences)


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"
