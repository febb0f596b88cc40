"""What a training learns of one subject: examples of its photos and its class, and the prompts that go with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from storage.contract.recipe import Recipe
from trainer.dreambooth.augment import views_of
from trainer.dreambooth.batches import examples_of
from trainer.dreambooth.prompts import photo_prompts, prompt_pairs
from trainer.dreambooth.validation import Validation, learned_from
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser, Text


@dataclass(frozen=True)
class SubjectSpec:
    """What is to be learned: its photos, its class noun, the rare token that will mean it, what else is in photos."""

    photos: list[Path]
    noun: str
    identifier: str
    captions: tuple[str, ...] = ()  # one for each photo, or none at all
    wholes: tuple[Path, ...] = ()  # the photos before they were cut square, or none at all


class SubjectDataset:
    """Examples, and as `texts` the prompts of each wording: token ids, or what text encoders make of them."""

    def __init__(
        self, base: BaseModel, subject: SubjectSpec, class_latents: Tensor | None, recipe: Recipe, choice: Generator
    ) -> None:
        """`class_latents` are n × c × h × w, scaled, or None; crops are drawn by `choice`."""
        # the examples: moments of the photos' crops, and the class set
        whole = recipe.aspect_buckets and subject.wholes
        views = views_of(subject.wholes if whole else subject.photos, base, recipe, choice)
        captions = subject.captions if recipe.captions and any(subject.captions) else ()
        class_latents = class_latents if recipe.prior == "class_set" else None
        self.validation = Validation(base, subject.photos, class_latents, recipe, bool(captions))
        class_latents = None if class_latents is None else learned_from(class_latents)
        self.examples = examples_of(base, views, class_latents, recipe, len(captions), choice)

        # the prompts, one of each kind unless photos have their own; in more than one wording if so asked
        pairs = prompt_pairs(subject.identifier, subject.noun, recipe.wordings)
        self._prompts = []
        for own, of_class in pairs:
            prompts = photo_prompts(own, subject.noun, captions)
            if recipe.prior == "teacher":  # which predicts on the photos, so captions are true for it, too
                prompts += photo_prompts(of_class, subject.noun, captions)
            elif class_latents is not None:
                prompts.append(of_class)
            self._prompts.append(base.token_ids(prompts))
        self.texts: Sequence[Text] = self._prompts

    @torch.no_grad()
    def read_by(self, denoiser: Denoiser) -> None:
        """Encode the prompts once for all steps, with text encoders that are not trained."""
        self.texts = [denoiser.read(ids) for ids in self._prompts]
