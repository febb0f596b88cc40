"""Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): joins rankings whose scores differ in scale."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

K = 60  # of the paper

Scores = npt.NDArray[np.float32]


def reciprocal_rank_fusion(rankings: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """The fused score of each item: 1 if it is first in all rankings; a ranking in which it scores 0 adds nothing."""
    fused = np.zeros(len(rankings[0]), np.float32)
    for scores, weight in zip(rankings, weights, strict=True):
        order = np.argsort(-scores, kind="stable")
        ranks = np.empty(len(scores), np.int64)
        ranks[order] = np.arange(len(scores))
        fused += np.where(scores > 0, weight * (K + 1) / (K + 1 + ranks), 0).astype(np.float32)
    return fused / np.float32(sum(weights))
