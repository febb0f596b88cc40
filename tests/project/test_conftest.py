"""The tests' own set-up: what every test waits for."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]


def test_a_test_that_needs_no_model_does_not_wait_for_torch() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it raises ImportError
import tests.conftest
for plugin in tests.conftest.pytest_plugins:
    __import__(plugin)
"""
    imported = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert imported.returncode == 0, imported.stderr
