"""The loss of a training as a line of text, for chats that draw no curves."""

from collections.abc import Sequence
from statistics import fmean

from storage.contract.progress import Progress

HEIGHTS = "▁▂▃▄▅▆▇█"


def sparkline(losses: Sequence[float], width: int = 20) -> str:
    """Draw losses, oldest first, at most `width` characters, each the mean of a stretch; nothing for fewer than two.

    >>> sparkline([0.8, 0.5, 0.3, 0.1])
    'loss █▅▃▁ 0.100'
    """
    if len(losses) < 2:
        return ""
    # Rounded up, so that there are never more than `width` characters.
    stretch = -(-len(losses) // width)
    means = [fmean(losses[k : k + stretch]) for k in range(0, len(losses), stretch)]
    # Scaled to its own range: losses of different recipes differ by orders of magnitude.
    low, span = min(means), (max(means) - min(means)) or 1
    heights = (HEIGHTS[round((mean - low) / span * (len(HEIGHTS) - 1))] for mean in means)
    return f"loss {''.join(heights)} {means[-1]:.3f}"


def loss_summary(progress: Progress, width: int = 20) -> str:
    """The losses of a training so far: training loss as a sparkline, and the newest validation loss.

    >>> loss_summary(Progress(job="x", phase="learning", losses=(0.5, 0.1), validated=(0.12, 0.2)))
    'loss █▁ 0.100, validation 0.120'
    """
    validation = f"validation {progress.validated[0]:.3f}" if progress.validated else ""
    return ", ".join(filter(None, [sparkline(progress.losses, width), validation]))
