"""Tables that are data, in TOML files beside the modules that read them."""

import tomllib
from importlib.resources import files
from typing import Any


def read_toml(package: str, name: str) -> dict[str, Any]:
    """The table in a file of a package of ours."""
    return tomllib.loads(files(package).joinpath(name).read_text("utf-8"))
