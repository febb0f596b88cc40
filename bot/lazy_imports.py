"""Libraries that others import without need are loaded when they are first used: commands start sooner."""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec


def import_lazily(name: str) -> None:
    """Have the import of a top-level module wait for its first use; harmless if it is loaded, or not installed."""
    if name in sys.modules or not (spec := find_spec(name)) or not spec.loader:
        return
    loader = spec.loader = LazyLoader(spec.loader)
    sys.modules[name] = module = module_from_spec(spec)
    loader.exec_module(module)
