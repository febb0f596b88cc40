"""The process that decodes people's photos: `python -m bot.photos.decoder_process PARENT`, one photo after another.

    bot ── stdin ──▶ this process ── fork ──▶ a child for each photo, with limits of CPU time, memory and files
        ◀─ stdout ──              ◀── pipe ──

The libraries are loaded once; a fork of this process costs a few milliseconds, knows of no other photo, and may hang,
be killed or crash without harm. No child outlives this process, nor this process the bot.
"""

import gc
import io
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress

from PIL import Image

from bot.photos import decoder_protocol
from bot.photos.errors import PhotoError
from bot.photos.limits import RESULT_BYTES, SLOW_AFTER_S, PhotoLimits
from bot.photos.prepare import prepare_photo
from storage.parent_death import die_with_parent

TOO_SLOW = "takes too long to read"
TOO_LARGE = "takes too much memory to read"
CRASHED = "cannot be read: reading it was ended by the system"
NICE = 10  # for what takes long
UPLOAD_MOST_BYTES = 2**32


def serve() -> None:
    """Answer photos until the bot closes the pipe."""
    while request := _read_frame():
        header, data = request
        answer = _attend(data, PhotoLimits(**header))
        if answer is None:
            return
        _write(1, answer)


def _attend(data: bytes, limits: PhotoLimits) -> bytes | None:
    """Fork a child that prepares a photo; return the frame with the result, None if the bot is gone."""
    reading, writing = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _be_child(parent, reading, writing, data, limits)
    os.close(writing)
    try:
        answer, why = _read_answer(reading, child, limits.wall_s)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            # Whatever state it is in: a child that decodes a hostile file is not asked to end.
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if why == "gone":
        return None
    if why or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return decoder_protocol.packed({"refused": why or TOO_SLOW})
    return answer if _is_whole(answer) else decoder_protocol.packed({"refused": CRASHED})


def _read_answer(reading: int, child: int, wall_s: float) -> tuple[bytes, str]:
    """What a child says until it ends; and why it was not heard to its end, if it was not."""
    began_s, parts, size, nice = time.monotonic(), [], 0, False
    while True:
        passed_s = time.monotonic() - began_s
        if passed_s > wall_s:
            return b"", TOO_SLOW
        if passed_s > SLOW_AFTER_S and not nice:
            nice = True
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, child, NICE)
        # Standard input is watched as well, since its end is the only sign of a dead bot on systems without prctl.
        ready, _, _ = select.select([reading, 0], [], [], min(wall_s - passed_s, wall_s if nice else SLOW_AFTER_S))
        if 0 in ready:  # nothing is asked while something is answered: the bot is gone
            return b"", "gone"
        if reading not in ready:
            continue
        part = os.read(reading, 2**20)
        parts.append(part)
        size += len(part)
        if not part:
            return b"".join(parts), ""
        # More than two pictures can have: the child is out of control, or under somebody else's.
        if size > RESULT_BYTES:
            return b"", CRASHED


def _is_whole(answer: bytes) -> bool:
    """Whether a child's answer is complete; a compromised child may send anything, so it is validated."""
    size = decoder_protocol.LENGTHS.size
    try:
        header, body = decoder_protocol.lengths(answer[:size], RESULT_BYTES)
    except ValueError:
        return False
    return len(answer) == size + header + body


def _be_child(parent: int, reading: int, writing: int, data: bytes, limits: PhotoLimits) -> None:
    """Prepare a photo within limits, say what came of it, and end this process."""
    try:
        os.close(reading)
        die_with_parent(parent)
        # The pipes to the bot are closed to the child: it could otherwise answer for another photo.
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        _limit(limits)
        _write(writing, _answer(data, limits))
    finally:
        # Not sys.exit: handlers and buffers of the parent must not run here.
        os._exit(0)


def _answer(data: bytes, limits: PhotoLimits) -> bytes:
    try:
        return decoder_protocol.packed(*prepare_photo(data, limits).packed())
    except PhotoError as error:
        return decoder_protocol.packed({"refused": str(error)})
    except MemoryError:
        return decoder_protocol.packed({"refused": TOO_LARGE})


def _limit(limits: PhotoLimits) -> None:
    """Set the limits of this process, as far as the system has them."""
    most = {
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_AS: _address_space() + limits.memory_bytes,
        # It may write to no file, open few, and leave no core dump with a person's photo in it.
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for name, value in most.items():
        with suppress(OSError, ValueError):
            resource.setrlimit(name, (value, value + (name == resource.RLIMIT_CPU)))


def _address_space() -> int:
    """Bytes of address space that this process has; a gigabyte where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**30


def _read_frame() -> tuple[decoder_protocol.Json, bytes] | None:
    """Read a frame from stdin; None at its end."""
    try:
        header, body = decoder_protocol.lengths(_read(decoder_protocol.LENGTHS.size), UPLOAD_MOST_BYTES)
        return decoder_protocol.header_of(_read(header)), _read(body)
    except EOFError:
        return None


def _read(length: int) -> bytes:
    parts = []
    while length:
        part = os.read(0, min(length, 2**20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _load_libraries() -> None:
    """Load, before the first fork, whatever a photo needs. Nothing here may start a thread, as codecs do."""
    Image.init()
    picture = io.BytesIO()
    Image.linear_gradient("L").save(picture, "PNG")
    prepare_photo(picture.getvalue(), PhotoLimits(2**16, 1, 64))
    # A collection would touch every object, and copy pages that children share with this process.
    gc.freeze()


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    _load_libraries()
    with suppress(BrokenPipeError, KeyboardInterrupt):
        serve()
