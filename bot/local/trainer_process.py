"""Client of a trainer process that exports or imports: the bot itself is without PyTorch."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any

from bot.local.children import last_log_line
from storage.contract.conversion import ANSWERS, ConversionResult, ExportRequest, ImportRequest
from storage.errors import SetupError, UserError
from storage.settings.bot import BotSettings

LOG = "exchange.log"  # in DARKROOM_HOME: what the process says besides
INSTALL = " `make setup` in Darkroom's checkout installs what is missing."


async def answer_of(flag: str, within_s: float) -> Any:
    """The JSON that `python -m trainer FLAG` prints last; raises SetupError with its last words, or TimeoutError."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "trainer", flag, stdout=PIPE, stderr=PIPE)
    try:
        out, err = await asyncio.wait_for(process.communicate(), within_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return json.loads(out.decode().strip().splitlines()[-1])
    except (ValueError, IndexError):
        why = (err.decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"])[-1]
        raise SetupError(why) from None


async def ask(
    request: ExportRequest | ImportRequest, settings: BotSettings, on_status: Callable[[str], None]
) -> ConversionResult:
    """Ask for an export or import, report what is being done, and return how it ended.

    Raises UserError if it was refused, and SetupError if it could not be done here.
    """
    log = settings.home / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as log_file:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}  # the workers have the GPU, and its memory
        command = (sys.executable, "-m", "trainer.conversion")
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=log_file, env=environment
        )
        try:
            ended = await _follow(process, request, on_status)
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if ended is None:
        why = last_log_line(log) or f"status {process.returncode}"
        advice = INSTALL if why.startswith("ModuleNotFoundError") else ""
        raise SetupError(f"The trainer does not run here: {why}. {log} has more.{advice}")
    if ended.state == "refused":
        raise UserError(ended.says)
    if ended.state == "failed":
        raise SetupError(ended.says)
    return ended


async def _follow(
    process: Process, request: ExportRequest | ImportRequest, on_status: Callable[[str], None]
) -> ConversionResult | None:
    """Hand the request over and report what is being done; None if the process ends without a last word."""
    assert process.stdin and process.stdout
    process.stdin.write(request.model_dump_json().encode())
    process.stdin.close()  # its end is what the process waits for; one that died already is noticed below
    async for line in process.stdout:
        answer = ANSWERS.validate_json(line)
        if isinstance(answer, ConversionResult):
            return answer
        on_status(answer.what)
    return None
