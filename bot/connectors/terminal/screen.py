"""The screen of a terminal: progress on standard error, the result on standard output, as text or as JSON."""

import json
import re
import sys
import time
from types import TracebackType
from typing import Any, Literal, TextIO

import typer
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from bot.core.messages import Reply
from bot.delivery.sparkline import loss_summary
from bot.kinds import phase_in_words
from storage.text import duration, one_line, visible

USAGE = 2  # exit status of bad usage and bad input
TAIL = 60  # characters of a text that is being written
INTERRUPTED = 130  # exit status after Ctrl-C

ALONE = r"(?<![\w.~/-])"  # and not as a part of a path
WORDS = (  # how the chats' commands are called at a terminal
    (re.compile(rf"{ALONE}/dreambooth train NAME CLASS\b"), "darkroom train PHOTO… --name NAME --class CLASS"),
    (re.compile(rf"{ALONE}/dreambooth list\b"), "darkroom subjects"),
    (re.compile(rf"{ALONE}/imagine (.*\S)$"), r'darkroom imagine "\1"'),
    (
        re.compile(rf"{ALONE}/(?:dreambooth )?(ask|train|imagine|show|share|retrain|together|forget|cancel|jobs)\b"),
        r"darkroom \1",
    ),
    (re.compile(rf"{ALONE}/help\b"), "darkroom --help"),
)


def in_terminal(text: str) -> str:
    """Put commands that a sentence names the way a terminal takes them.

    >>> in_terminal("There are none yet: /dreambooth train makes one.")
    'There are none yet: darkroom train makes one.'
    """
    for pattern, words in WORDS:
        text = pattern.sub(words, text)
    return visible(text)


class CommandResult(BaseModel):
    """How a command ended: what is printed, and the exit status."""

    model_config = ConfigDict(frozen=True)

    state: Literal["done", "failed", "cancelled"]
    message: str
    job: str | None = None
    code: int = 0
    more: dict[str, Any] = {}  # what the command adds to its JSON object
    table: dict[str, str] = {}  # what is printed below the message where there is no JSON

    @classmethod
    def from_reply(cls, reply: Reply, **more: Any) -> "CommandResult":
        """The result that the last reply of an answer makes."""
        state = "failed" if reply.state == "working" else reply.state
        code = 0 if state == "done" else USAGE if reply.fault == "input" else 1
        text = in_terminal(reply.text)
        return cls(state=state, message=text, job=reply.job, code=code, more=more, table=reply.facts)


def failure(message: str, code: int = 1) -> CommandResult:
    """The result of something that failed without a job."""
    return CommandResult(state="failed", message=in_terminal(message), code=code)


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def print_result(result: CommandResult, as_json: bool, since_s: float) -> None:
    """Print how a command ended that began at `since_s` (monotonic): JSON always, text where there is any to say."""
    if as_json:
        seconds = round(time.monotonic() - since_s, 3)
        known = {"job": result.job, "state": result.state, "message": visible(result.message), "seconds": seconds}
        try:
            typer.echo(visible(json.dumps(known | result.more, ensure_ascii=not _is_utf8(sys.stdout))))
        except BrokenPipeError:
            Console().on_broken_pipe()  # ends the command without a word, as Rich does for text
        return
    console = Console(stderr=result.state != "done", highlight=False, soft_wrap=True)
    console.print(visible(result.message), markup=False)
    width = max(map(len, result.table), default=0)
    for name, value in result.table.items():
        lines = visible(value).splitlines()
        for label, line in zip([name] + [""] * len(lines), lines, strict=False):  # nothing where there is no value
            console.print(f"{label:<{width}}  {line}", markup=False)


class Screen:
    """Progress on standard error as a context: a bar on a terminal, else a line for every phase."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[step]}"),
            TextColumn("{task.fields[left]}", style="dim"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, visible=False, step="", left="")
        self._text = ""

    def __enter__(self) -> "Screen":
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        self.console.print(in_terminal(sentence), markup=False)

    def status(self, text: str) -> None:
        """Show a status line: what is being waited for."""
        self._draw(text, 0, 0, "")

    def show(self, reply: Reply) -> None:
        """Show where a job is; replies that are not about a running job only change the words."""
        progress = reply.progress
        if reply.state != "working":
            return
        if progress is None:
            self.status(in_terminal(reply.text))
        elif progress.phase == "queued":
            self.status(in_terminal(reply.text).removesuffix("."))
        else:
            left = f"{duration(progress.left_s)} left" if progress.left_s is not None else ""
            details = ", ".join(filter(None, [left, loss_summary(progress, width=10)]))
            self._draw(f"{phase_in_words(progress.phase)}{self._tail(reply)}", progress.step, progress.of, details)

    def _tail(self, reply: Reply) -> str:
        """The newest words of a text that is being written, where a line can be drawn over."""
        if not (reply.is_markdown and self.console.is_terminal):
            return ""
        return f": … {visible(one_line(reply.text.partition(chr(10))[2]))[-TAIL:]}"

    def _draw(self, text: str, step: int, of: int, left: str) -> None:
        if text != self._text and not self.console.is_terminal:
            self.console.print(text, markup=False)
        self._text = text
        self._bar.update(
            self._task,
            description=text,
            completed=step,
            total=of or None,
            step=f"{step}/{of}" if of else "",
            left=left,
            visible=True,
        )
