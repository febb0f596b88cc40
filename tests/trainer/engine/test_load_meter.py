"""What an engine says of its load: of the last minute, rarely, and only what is new."""

from trainer.engine.load_meter import SLICE_S, WINDOW_S, LoadMeter
from trainer.protocol import EngineLoad


class Clock:
    """A clock that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_rows_pictures_and_the_share_of_training_are_those_of_the_last_minute() -> None:
    clock = Clock()
    meter = LoadMeter(clock)
    assert meter.news(subjects=2) == EngineLoad(subjects=2)
    load = None
    for _ in range(60):  # four rows in 0.7 s, and 0.3 s of training
        meter.drawn(rows=4, took_s=0.7)
        meter.trained(0.3)
        clock.now_s += 1.0
        meter.finished(1)
        load = meter.news(subjects=2) or load
    assert load and 3.5 <= load.rows_per_s <= 4.5 and 50 <= load.pictures_per_minute <= 70
    assert load.training_share == 0.3
    clock.now_s += 2 * WINDOW_S
    assert meter.news(subjects=2) == EngineLoad(subjects=2)


def test_it_is_told_rarely_and_not_again() -> None:
    clock = Clock()
    meter = LoadMeter(clock)
    told = []
    for _ in range(1000):
        clock.now_s += 0.1
        told.append(meter.news(subjects=1))
    assert [load for load in told if load] == [EngineLoad(subjects=1)]
    for _ in range(1000):
        clock.now_s += 0.1
        meter.drawn(1, 0.05)
        told.append(meter.news(subjects=1))
    assert len([load for load in told if load]) <= 2 + 100 / SLICE_S
