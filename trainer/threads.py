"""Threads of tensor work: as many as there are processors for this process, and quiet ones while they wait.

OpenMP reads its settings once, when PyTorch loads it, so the entry points of processes set them before they import it.
"""

import os
from math import ceil
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# Threads at a barrier sleep. By default they spin, which slows us down several times beside another busy program.
QUIET = "PASSIVE"


def set_up() -> None:
    """Set OpenMP's environment for this process and its children; what the operator has set stays."""
    os.environ.setdefault("OMP_WAIT_POLICY", QUIET)
    os.environ.setdefault("OMP_NUM_THREADS", str(processors()))


def processors() -> int:
    """How many processors this process may keep busy: its affinity, or fewer by the quota of its control group."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([usable, *map(ceil, quotas())]))


def quotas(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> list[float]:
    """Processors that each control group of this process is limited to; of cgroups v2, and of v1 within a container."""
    try:
        ours = next(line[3:].strip("/ \n") for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        ours = ""
    folder = root / ours
    limits = [_quota(each / "cpu.max") for each in (folder, *folder.parents) if each.is_relative_to(root)]
    limits.append(_quota(root / "cpu/cpu.cfs_quota_us", root / "cpu/cpu.cfs_period_us"))
    return [limit for limit in limits if limit]


def _quota(*files: Path) -> float:
    """Quota ÷ period, which one file holds or two; 0 if there is no limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return max(0.0, int(quota) / int(period))
    except (OSError, ValueError):  # there are none, or they say "max"
        return 0.0
