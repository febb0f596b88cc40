"""A limit of what shares a pass falls when memory was short, and rises again."""

from trainer.batch_limit import RETRY_S, BatchLimit


def test_it_doubles_after_a_while_until_it_is_what_it_was() -> None:
    now_s = 5.0
    limit = BatchLimit(8, lambda: now_s)
    assert limit.current == 8
    limit.lower(1)
    seen = []
    for _ in range(6):
        seen.append(limit.current)
        now_s += RETRY_S
    assert seen == [1, 2, 4, 8, 8, 8]
    now_s += 1e9
    assert limit.current == 8


def test_it_falls_again_from_what_it_has_risen_to_and_never_to_nothing() -> None:
    now_s = 0.0
    limit = BatchLimit(8, lambda: now_s)
    limit.lower(2)
    limit.lower(4)  # a pass that was begun before
    assert limit.current == 2
    now_s += RETRY_S
    assert limit.current == 4
    limit.lower(2)
    now_s += RETRY_S / 2
    assert limit.current == 2
    limit.lower(0)
    assert limit.current == 1
