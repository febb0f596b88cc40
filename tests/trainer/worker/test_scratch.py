"""Folders of running jobs go with their workers."""

import subprocess
import sys
from pathlib import Path

from trainer.worker.scratch import own_folder

CODE = """
import sys, pathlib
from trainer.worker.scratch import own_folder
print(own_folder(pathlib.Path(sys.argv[1])), flush=True)
input()
"""


def test_a_folder_stays_while_its_process_lives(tmp_path: Path) -> None:
    mine = own_folder(tmp_path)
    (mine / "photo").touch()
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        own_folder(tmp_path)
        assert theirs.is_dir() and (mine / "photo").exists()
        other.kill()
        other.wait()
        own_folder(tmp_path)
        assert not theirs.exists() and (mine / "photo").exists()
