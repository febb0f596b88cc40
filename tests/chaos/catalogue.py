"""All faults, and which of them a deployment can have."""

from collections.abc import Awaitable, Callable
from random import Random

from tests.chaos import bot_faults, engine_faults, faults, store_faults
from tests.chaos.scene import Kind, Scene

Fault = Callable[[Scene, Random], Awaitable[None]]

FAULTS: tuple[Fault, ...] = (
    faults.kill_worker,
    faults.end_worker,
    faults.freeze_worker,
    faults.kill_engine,
    faults.cut_off_from_redis,
    faults.cut_off_from_store,
    faults.store_trouble,
    faults.restart_redis,
    faults.replace_redis,
    faults.empty_redis,
    faults.end_leases,
    faults.restart_bot,
    bot_faults.kill_bot,
    bot_faults.kill_next_bot,
    bot_faults.upgrade_worker,
    engine_faults.freeze_engine,
    engine_faults.nonsense,
    engine_faults.diverge,
    engine_faults.broken_model,
    store_faults.fill_home,
    store_faults.fill_store,
    store_faults.damage,
)
ONLY_WITH: dict[str, Kind] = {  # faults by the store that can have them
    "cut_off_from_store": "s3",
    "store_trouble": "s3",
    "fill_store": "folder",
}


def possible(store: Kind, names: list[str] | None = None) -> list[Fault]:
    """The faults that a deployment with such a store can have, all or those of these names."""
    there = [fault for fault in FAULTS if ONLY_WITH.get(fault.__name__, store) == store]
    return [fault for fault in there if names is None or fault.__name__ in names]
