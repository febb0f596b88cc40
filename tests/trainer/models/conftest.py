"""Models that the tests of model files share."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def written(micro_sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as a single file, with its settings beside it."""
    import torch

    from tests.support.single_file_models import write_single

    torch.set_num_threads(1)
    return write_single(micro_sd1, tmp_path_factory.mktemp("single") / "it.safetensors")


@pytest.fixture
def model(micro_sd1: Path, tmp_path: Path) -> Path:
    """A whole folder that a test may spoil."""
    return Path(shutil.copytree(micro_sd1, tmp_path / "model"))
