"""Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): joins rankings whose scores differ in scale."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

K = 20  # 60 in the paper, for rankings of whole collections; ours are of a few hundred passages

Scores = npt.NDArray[np.float32]


def reciprocal_rank_fusion(rankings: Sequence[Scores]) -> Scores:
    """The fused score of each item: 1 if it is first in all rankings; a ranking in which it scores 0 adds nothing."""
    fused = np.zeros(len(rankings[0]), np.float32)
    for scores in rankings:
        ranks = np.searchsorted(np.sort(-scores), -scores)  # equal scores have one rank
        fused += np.where(scores > 0, (K + 1) / (K + 1 + ranks), 0).astype(np.float32)
    return fused / np.float32(len(rankings))
