"""What a probe of a backing service found: each thing that the program uses, tried once, works or does not."""

from collections.abc import Iterable
from typing import NamedTuple

from storage.failures import Failure


class ProbeFailed(Exception):
    """A service did something else than it was asked to; the message says what."""


def expect(is_so: bool, otherwise: str) -> None:
    """Raise ProbeFailed, which says `otherwise`, unless something is so."""
    if not is_so:
        raise ProbeFailed(otherwise)


class ProbeResult(NamedTuple):
    """The result of one probe, such as `PUT` or `Lua scripts`."""

    name: str
    says: str = ""  # why it does not work, and what would help; or what is worth knowing
    state: str = "ok"  # or "warn", or "fail"
    failure: Failure = Failure.PERMANENT  # of one that failed
    advice: str = ""  # what would help, a sentence


def failed(findings: Iterable[ProbeResult]) -> list[ProbeResult]:
    """The failed probes without which the program cannot work."""
    return [finding for finding in findings if finding.state == "fail"]


def sentences(findings: Iterable[ProbeResult]) -> str:
    """The findings as text, with all advice; what has the same reason is named together."""
    findings = list(findings)
    names: dict[str, list[str]] = {}
    for finding in findings:
        names.setdefault(finding.says, []).append(finding.name)
    text = "; ".join(f"{', '.join(those)}: {says}" if says else ", ".join(those) for says, those in names.items())
    return " ".join([f"{text}.", *dict.fromkeys(finding.advice for finding in findings if finding.advice)])
