"""What the bench beside diffusers' scripts needs where PyTorch is given: `python -m tests.bench.needs > needs.txt`.

The packages that it imports, and what these require, in the versions that are installed here, but for PyTorch and what
comes with it.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IMPORTED = ("accelerate", "diffusers", "peft", "pillow", "platformdirs", "pydantic-settings", "rich", "transformers")
IMPORTED += ("typer",)
GIVEN = ("torch", "numpy", "hf-xet")  # NumPy comes with PyTorch, and nothing is fetched from the hub there


def needs() -> dict[str, str]:
    """Versions by name."""
    waiting, found = [*IMPORTED], {}
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found or name in GIVEN:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another system
            continue
        found[name] = package.version
        asked = [Requirement(line) for line in package.requires or ()]
        waiting += [each.name for each in asked if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in sorted(needs().items()))
