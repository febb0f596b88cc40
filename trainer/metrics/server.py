"""Measure what was drawn of a subject, as in section 4 of DreamBooth's paper (Ruiz et al. 2022, arXiv 2208.12242)."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple, TextIO

import torch

from storage.contract.evaluation import Figures, MeasureRequest, MetricModels
from trainer.diffusion.images import read_photo
from trainer.metrics import metrics
from trainer.metrics.eval_embedders import EvalEmbedder, PromptEmbeddings, open_eval_embedders

BATCH = 16  # pictures in one forward pass
LIKE_PHOTOS = {"dino": "dino", "clip": "clip_i", "judge": "judge_i"}  # what a meter's subject fidelity is called
LIKE_WORDS = {"clip": "clip_t", "judge": "judge_t"}  # and its prompt fidelity
DIGITS = 4


class SubjectEmbeddings(NamedTuple):
    """One embedder's embeddings of a subject's photos and pictures."""

    photos: PromptEmbeddings
    prompts: list[PromptEmbeddings]
    class_before: PromptEmbeddings
    class_after: PromptEmbeddings


def serve(lines: TextIO, out: TextIO) -> None:
    """Open the models that the first line names and measure what the others ask for, each answered by a line of JSON.

    Raises SetupError if a model cannot be read.
    """
    meters = open_eval_embedders(MetricModels.model_validate_json(lines.readline()))
    print(Figures().model_dump_json(), file=out, flush=True)
    for line in lines:
        print(measure(meters, MeasureRequest.model_validate_json(line)).model_dump_json(), file=out, flush=True)


def measure(meters: dict[str, EvalEmbedder], request: MeasureRequest) -> Figures:
    """The figures of one subject; PRES and DIV are by the first of the meters."""
    looked = {name: _look(meter, request) for name, meter in meters.items()}
    # The paper measures PRES and DIV with DINO, which comes first where there is one.
    prior_by = next(iter(looked))
    prompts = tuple(_of_prompt(looked, prior_by, k) for k in range(len(request.prompts)))
    names = dict.fromkeys(name for figures in prompts for name in figures)
    means = {name: mean(figures[name] for figures in prompts if name in figures) for name in names}
    return Figures(
        mean=_rounded({**means, **_of_prior(looked[prior_by])}),
        photos=_rounded(
            {LIKE_PHOTOS[name]: metrics.mean_similarity(each.photos.embeddings) for name, each in looked.items()}
        ),
        prompts=prompts,
        prior_by=prior_by,
    )


def _of_prompt(looked: dict[str, SubjectEmbeddings], prior_by: str, k: int) -> dict[str, float]:
    """Figures of the pictures of prompt `k`."""
    figures: dict[str, float | None] = {}
    for name, each in looked.items():
        drawn, agreement = each.prompts[k]
        figures[LIKE_PHOTOS[name]] = metrics.fidelity(drawn, each.photos.embeddings)
        if agreement is not None:
            figures[LIKE_WORDS[name]] = float(agreement.mean())
    return _rounded({**figures, "div": metrics.diversity(looked[prior_by].prompts[k].embeddings)})


def _of_prior(looked: SubjectEmbeddings) -> dict[str, float | None]:
    """What became of the class, beside what it was to the base model."""
    photos, before, after = looked.photos.embeddings, looked.class_before.embeddings, looked.class_after.embeddings
    return {
        "pres": metrics.fidelity(after, photos),
        "pres_before": metrics.fidelity(before, photos),
        "div_class": metrics.diversity(after),
        "div_class_before": metrics.diversity(before),
    }


def _rounded(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in figures.items() if value is not None and math.isfinite(value)}


def _look(meter: EvalEmbedder, request: MeasureRequest) -> SubjectEmbeddings:
    return SubjectEmbeddings(
        _see(meter, request.photos),
        [_see(meter, drawn.pictures, drawn.text) for drawn in request.prompts],
        _see(meter, request.class_before),
        _see(meter, request.class_after),
    )


def _see(meter: EvalEmbedder, paths: Sequence[str], text: str = "") -> PromptEmbeddings:
    seen = []
    for first in range(0, len(paths), BATCH):
        pictures = [read_photo(Path(path)) for path in paths[first : first + BATCH]]
        seen.append(meter.see(pictures, text))
    read = [each.agreement for each in seen if each.agreement is not None]
    return PromptEmbeddings(torch.cat([each.embeddings for each in seen]), torch.cat(read) if read else None)
