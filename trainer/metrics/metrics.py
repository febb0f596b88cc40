"""The metrics of DreamBooth's paper (Ruiz et al. 2022, arXiv 2208.12242, section 4), on embeddings of length 1.

Embeddings are n × d, one row a picture. The paper has DINO's (ViT-S/16) and CLIP's.
"""

from torch import Tensor

from trainer.metrics.similarity import mean_cosine


def fidelity(drawn: Tensor, photos: Tensor) -> float:
    """Subject fidelity, DINO or CLIP-I: mean cosine of all pairs of a drawn picture and a photo.

    Of plain class pictures it is PRES: high where any of the class has come to look like the photos.
    """
    return float((drawn @ photos.T).mean())


def mean_similarity(embeddings: Tensor) -> float | None:
    """Mean cosine of two different pictures, for photos the paper's *real images*; None of a picture alone."""
    return mean_cosine(embeddings) if len(embeddings) > 1 else None


def diversity(drawn: Tensor) -> float | None:
    """DIV: mean distance of two pictures of one prompt, 1 − cosine; None of a picture alone.

    The paper's distance is LPIPS (Zhang et al. 2018, arXiv 1801.03924): its figures cannot be compared with these.
    """
    return 1 - mean_cosine(drawn) if len(drawn) > 1 else None
