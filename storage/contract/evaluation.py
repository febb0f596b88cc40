"""The contract of `darkroom eval`: which pictures the bot has the trainer measure, by which models, and the figures.

`python -m trainer --measure` reads `MetricModels` from the first line of standard input, and answers with empty
`Figures` once they are loaded; from then on each line is a `MeasureRequest`, and answered with its figures.
"""

from storage.contract.base import Record


class MetricModels(Record):
    """The models that measure: folders, or names on the Hugging Face hub; empty where there is none."""

    clip: str = ""  # CLIP-I and CLIP-T
    dino: str = ""
    judge: bool = False  # Toyworld's own, which knows nothing but Toyworld


class PromptPictures(Record):
    """The pictures of one prompt."""

    text: str  # as a metric model reads the prompt: with the class noun in place of the subject
    pictures: tuple[str, ...]  # paths


class MeasureRequest(Record):
    """Measure one subject."""

    photos: tuple[str, ...]  # paths
    prompts: tuple[PromptPictures, ...]
    class_before: tuple[str, ...]  # paths of plain class pictures, drawn by the base model
    class_after: tuple[str, ...]  # and, from the same seeds, by what was learned


class Figures(Record):
    """What was measured of one subject. `docs/evaluation.md` says what each figure is."""

    mean: dict[str, float] = {}  # over all pictures: dino, clip_i, clip_t, judge_i, judge_t, pres, div …
    photos: dict[str, float] = {}  # the photos among each other: what dino, clip_i or judge_i could be at best
    prompts: tuple[dict[str, float], ...] = ()  # of each prompt, in their order
    prior_by: str = ""  # whose embeddings PRES and DIV are of: dino, clip or judge
