"""The prompts of a training, and the name of the class set that they share. Without torch: the worker needs it."""

import hashlib
import json
from collections.abc import Sequence

from storage.contract.recipe import Recipe
from storage.nouns import class_prompt, folded, with_article
from storage.text import find_word

FIRST_SEED = 1_000_000  # far from the seeds that people use, so a class image never turns up as somebody's picture
CLASS_BATCH = 8  # class images in one forward pass, where memory is not short
SCHEDULER = "dpm++2m"  # of class images


def instance_prompt(identifier: str, noun: str) -> str:
    """The prompt of the photos: § 3.1 of Ruiz et al. 2022."""
    return f"a photo of {identifier} {noun}"


def prompt_pairs(identifier: str, noun: str, wordings: int) -> list[tuple[str, str]]:
    """Pairs of instance and class prompt: the paper's, then the same as people say it within a longer prompt."""
    pairs = [
        (instance_prompt(identifier, noun), class_prompt(noun)),
        (f"a {identifier} {noun}", with_article(folded(noun))),
    ]
    return pairs[:wordings]


def captioned(prompt: str, noun: str, caption: str) -> str:
    """The prompt of a photo whose caption says what is in it: what stands after the noun there goes on after it here.

    All of a caption that does not name the class goes on. What is said before the noun, "my brown dog", is the
    subject's own, which its identifier is to mean.

    >>> captioned("a photo of zuf dog", "dog", "My brown dog on a red sofa.")
    'a photo of zuf dog on a red sofa'
    >>> captioned("a zuf dog", "dog", "on a red sofa")
    'a zuf dog on a red sofa'
    """
    named = find_word(caption, noun)
    rest = caption[named[1] :] if named else f" {caption}"
    return prompt + rest.rstrip(" .")


def photo_prompts(prompt: str, noun: str, captions: Sequence[str]) -> list[str]:
    """The prompts of photos in the wording of `prompt`: that for all of them, or one for each if there are captions."""
    return [captioned(prompt, noun, caption) for caption in captions] if captions else [prompt]


def class_set_key(base_sha256: str, noun: str, recipe: Recipe, together: int = CLASS_BATCH) -> str:
    """Name of the object that holds the class set; it hashes everything that decides its content.

    That is the number of pictures drawn `together`, too: it decides how sums are rounded.
    """
    how = [base_sha256, class_prompt(noun), SCHEDULER, recipe.class_steps, recipe.class_guidance, FIRST_SEED]
    shape = [] if recipe.aspect == "1:1" else [recipe.aspect]  # sets from before there were shapes keep their names
    digest = hashlib.sha256(json.dumps([*how, recipe.class_images, together, *shape]).encode()).hexdigest()
    return f"classes/{digest[:40]}/latents.safetensors"


def sample_name(number: int, step: int, of_subjects: int) -> str:
    """Name of the sample picture of a subject after a step; of one alone it has no number."""
    return f"sample-{number}-{step:06d}" if of_subjects > 1 else f"sample-{step:06d}"


def sample_of(name: str) -> int:
    """The number of the subject that a sample picture is of, by its name."""
    return int(name.split("-")[-2]) if name.count("-") > 1 else 0
