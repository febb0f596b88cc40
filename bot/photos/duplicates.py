"""Near-duplicates among photos, by their fingerprints.

Two photos are near-duplicates if some views of theirs differ in a tenth of the bits or less. Measured, of 300 bits:
photos of one subject (20 real ones) differ in 36 to 150, drawings of one character (80) in different places in 34
to 170; copies that were recompressed, halved, 5 % cropped, a quarter darker, a fifth brighter, or a mix, in 0 to 30.
"""

from collections.abc import Sequence

DUPLICATE_BITS = 30


def near_duplicates(views: Sequence[int], others: Sequence[int]) -> bool:
    """Whether two fingerprints are of near-duplicates: cropped, resized, recompressed or brightened copies."""
    return any((view ^ other).bit_count() <= DUPLICATE_BITS for view in views for other in others)
