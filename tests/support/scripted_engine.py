"""An engine without a model, which says what a test wants: `python -m tests.support.scripted_engine SCRIPT MODEL`.

SCRIPT is a JSON file: by job a list of what is said of it. Text is a line as it is; a number is seconds of silence;
"STOP" freezes the process as SIGSTOP does, "CLOSE" closes its output, "EXIT" ends it, "HALF" ends it within a line.
What a job that is not in it hears is that it is done, with the `files` that are named under that key. What is under
"" is said before the engine is ready.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from trainer.protocol import Hello, TaskResult


def say(line: str) -> None:
    """Say one line."""
    os.write(1, line.encode() + b"\n")


def play(said: list[Any]) -> None:
    """Say one thing after another."""
    for each in said:
        if isinstance(each, int | float):
            time.sleep(each)
        elif each == "STOP":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif each == "CLOSE":
            os.close(1)
            time.sleep(600)
        elif each == "EXIT":
            os._exit(3)
        elif each == "HALF":
            os.write(1, b'{"say":"report","job":"one","pha')
            os._exit(3)
        else:
            say(each)


def main() -> None:
    """Be ready, and answer each task."""
    script = json.loads(Path(sys.argv[1]).read_text())
    play(script.get("", []))
    say(Hello(base_sha256="0", folder=".", image_px=64, device="cpu").model_dump_json())
    for line in sys.stdin:
        task = json.loads(line)
        if task["do"] in ("train", "imagine"):
            play(script.get(task["job"], []))
        if task["do"] in ("train", "imagine", "cancel"):
            state = "cancelled" if task["do"] == "cancel" else "done"
            say(TaskResult(job=task["job"], state=state, files=script.get("files", ())).model_dump_json())


if __name__ == "__main__":
    main()
