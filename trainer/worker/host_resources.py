"""Free disk space and memory of this machine. Without enough of them a job waits; if it began, it would fail."""

import logging
import shutil

import psutil

from storage.settings.trainer import TrainerSettings

log = logging.getLogger(__name__)


class HostResources:
    """Free disk space and memory, beside what the settings ask for."""

    def __init__(self, settings: TrainerSettings) -> None:
        self.settings = settings
        self._lack = ""

    def lacks(self) -> str:
        """The resource there is too little of, in a word or two; empty if there is enough. Changes are logged."""
        lack, why = self._look()
        if lack != self._lack:
            log.warning("%s", f"taking no jobs: {why}" if lack else "there is room again, and jobs are taken")
        self._lack = lack
        return lack

    def _look(self) -> tuple[str, str]:
        home, settings = self.settings.home, self.settings
        free = shutil.disk_usage(home).free
        if free < settings.disk_least_bytes:
            return "disk space", f"{_mib(free)} are free at {home}, {_mib(settings.disk_least_bytes)} are asked for"
        # Available, not free: the system gives up its file cache when it is asked for.
        free = psutil.virtual_memory().available
        if free < settings.memory_least_bytes:
            return "memory", f"{_mib(free)} of memory are free, {_mib(settings.memory_least_bytes)} are asked for"
        return "", ""


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
