"""Quantities that are the same in two units: 26 miles is 42 kilometres."""

from dataclasses import dataclass

from trainer.ask.citations.facts import Fact, facts_in
from trainer.ask.citations.units import Quantity, quantity_at

CONVERTED_WITHIN = 0.01  # share, if that is more than half of the last digit that is given
CONVERTED_WITHIN_AT_MOST = 0.05  # share, as half of the last digit of a small number is much: 2 years, 1 kg


@dataclass(frozen=True)
class Measure:
    """A number with its unit. It has several readings if 1.000 may be one or a thousand."""

    quantity: Quantity
    numbers: tuple[float, ...]
    last_digit: float  # what one more in it would be

    def is_converted(self, other: "Measure") -> bool:
        """Whether it is as much as another one, which is in another unit."""
        ours, theirs = self.quantity, other.quantity
        if ours.dimension != theirs.dimension or ours.factor == theirs.factor:
            return False
        return any(
            abs(one * ours.factor - amount)
            <= min(max(CONVERTED_WITHIN * amount, self.last_digit * ours.factor / 2), CONVERTED_WITHIN_AT_MOST * amount)
            for one in self.numbers
            for amount in (each * theirs.factor for each in other.numbers)
        )


def measure_of(text: str, fact: Fact) -> Measure | None:
    """What a fact of a text measures; None if it has no unit that is known."""
    quantity = quantity_at(text, fact.start, fact.end) if fact.kind == "number" else None
    numbers = tuple(float(key) for key in fact.keys if key.replace(".", "", 1).isdigit())
    if not quantity or not numbers:
        return None
    return Measure(quantity, numbers, 10.0 ** -len(fact.keys[0].partition(".")[2]))


def measures_in(text: str) -> tuple[Measure, ...]:
    """All quantities of a text, each once."""
    found = (measure_of(text, fact) for fact in facts_in(text))
    return tuple(dict.fromkeys(measure for measure in found if measure))
