"""How a worker does the kinds of jobs, a module each. `storage.kinds` says how to add one.

No torch may be imported here: what needs a GPU is done by the engine, which `engine_handler` talks to. A worker imports
only what the queues need that it serves: one without a GPU is installed without what an engine needs.
"""

from collections.abc import Iterable
from pkgutil import resolve_name

from trainer.worker.handler import Handlers

HANDLERS = {  # module and class, by the name of the kind
    "train": "trainer.kinds.train:TrainHandler",
    "imagine": "trainer.kinds.imagine:ImagineHandler",
    "ask": "trainer.kinds.ask:AskHandler",
}


def handlers_of(kinds: Iterable[str] = HANDLERS) -> Handlers:
    """Import the handlers of these kinds of jobs; of all if none is named."""
    return {kind: resolve_name(HANDLERS[kind]) for kind in kinds}
