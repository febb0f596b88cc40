"""The engine's end of the pipe to its worker: whole lines, from any thread, and signs of life while it starts."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from trainer.protocol import FromEngine, Heartbeat

News = FromEngine
HEARTBEAT_S = 2.0


class MessageWriter:
    """Writes messages, a line each. A `silent` one writes none: of several engines the worker hears the first."""

    def __init__(self, out: BinaryIO, silent: bool = False) -> None:
        self._out, self._silent, self._lock = out, silent, threading.Lock()

    @classmethod
    def on_stdout(cls) -> "MessageWriter":
        """Take standard output for messages alone: whatever a library prints goes to standard error instead."""
        # The descriptor itself is redirected, so that prints of C libraries are as well.
        out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        return cls(out, silent=os.environ.get("RANK", "0") != "0")  # torchrun's number of this process

    def say(self, news: News) -> None:
        """Write one message."""
        if self._silent:
            return
        line = news.model_dump_json().encode() + b"\n"
        # Heartbeats come from another thread: two lines must not be mixed.
        with self._lock:
            self._out.write(line)
            self._out.flush()

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Say meanwhile every few seconds that this process lives: an import or a download says nothing itself."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT_S):
                self.say(Heartbeat())

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            over.set()
