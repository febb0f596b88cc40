"""Weights that have more than one name in files of the same layout, and whether a file has all that is wanted.

One table for base models and imports, folders and single files.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from torch import Tensor

from trainer.models.diffusers_layout import some_of
from trainer.models.file_kinds import Shapes, special_unet
from trainer.models.key_locations import KeyLocation

ALTERNATIVES = [  # tried where a file has no weight of the usual name
    (re.compile(r"(^|\.)text_model\."), r"\1"),  # CLIP as transformers had it before 4 and from 5 on
    (
        re.compile(r"^((?:.*\.)?transformer\.|text_encoder(?:_2)?\.|)(?=embeddings\.|encoder\.|final_layer)"),
        r"\1text_model.",
    ),
    (re.compile(r"^model\."), ""),  # a language model without, or with, the head that says its next word
    (re.compile(r"^(?=(language_model|visual|layers|embed_tokens|norm)\.)"), "model."),
    (re.compile(r"\.to_q\."), ".query."),  # the VAE's attention in diffusers before 0.15
    (re.compile(r"\.to_k\."), ".key."),
    (re.compile(r"\.to_v\."), ".value."),
    (re.compile(r"\.to_out\.0\."), ".proj_attn."),
    (re.compile(r"(first_stage_model.*\.)([qkv])\."), r"\1to_\2."),  # and in single files that were made of such
    (re.compile(r"(first_stage_model.*\.)proj_out\."), r"\1to_out.0."),
]
HARMLESS = re.compile(  # known extras: nothing that is drawn depends on them
    r"""(^|\.)position_ids$  # counts through the tokens
    | (^|\.)logit_scale$ | (^|\.)attn_mask$  # of a whole CLIP, of which only the text encoder is wanted
    | ^(.*\.)?vision_model\. | ^(.*\.)?visual(_projection)?\.
    | ^(cond_stage_model|conditioner\.embedders\.0)\.(.*\.)?text_projection(\.weight)?$
    | ^(text_encoder\.)?text_projection\.weight$
    | ^cond_stage_model\.model\.transformer\.resblocks\.\d+\.  # OpenCLIP's last layer, which SD 2 does not read
    | ^(first_stage_model\.)?(loss|model_ema)\. | ^model_ema\.  # copies that a training averaged
    | ^denoiser\.sigmas$ | ^(logvar|lvlb_weights|betas|scale_factor|global_step)$
    | ^(alphas_cumprod|sqrt_|log_one_minus_|posterior_)\w*$  # the noise schedule, in numbers
    | ^(v_pred|ztsnr)$  # marks
    | ^embedding_manager\.
    | ^lm_head\.weight$  # of a language model, of which only the states are read
    """,
    re.VERBOSE,
)


def locate_keys(wanted: Mapping[str, KeyLocation], there: Collection[str]) -> dict[str, KeyLocation]:
    """Where weights lie in a file that has these names: each under the first of its names that is there."""
    located = {}
    for name, place in wanted.items():
        known = next((each for each in _names(place.name) if each in there), place.name)
        located[name] = place._replace(name=known)
    return located


def _names(name: str) -> Iterator[str]:
    yield name
    for pattern, other in ALTERNATIVES:
        if (renamed := pattern.sub(other, name, count=1)) != name:
            yield renamed


def check_fit(where: Mapping[str, KeyLocation], likes: Mapping[str, Tensor], shapes: Shapes) -> None:
    """Raise ValueError if weights are missing from a file, or have other shapes than those of `likes`, by our names."""
    if special := special_unet(shapes):
        raise ValueError(f"it is {special}")
    if missing := [name for name, place in where.items() if place.name not in shapes]:
        raise ValueError(f"it lacks weights: {some_of(missing)}")
    for name, place in where.items():
        wanted = _shape(place, tuple(likes[name].shape))
        if _bare(shapes[place.name]) != _bare(wanted):
            has, by = (" × ".join(map(str, shape)) or "one number" for shape in (shapes[place.name], wanted))
            raise ValueError(f"{place.name} is {has}, and has to be {by}")


def unread_keys(where: Mapping[str, KeyLocation], names: Collection[str]) -> list[str]:
    """Tensors of a file that nobody asks for, known harmless ones left out."""
    read = {place.name for place in where.values()}
    return sorted(name for name in names if name not in read and not HARMLESS.search(name))


def _shape(place: KeyLocation, ours: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in a file of a weight that is shaped so here."""
    if place.form == "turned":
        return ours[::-1]
    return (ours[0] * place.parts, *ours[1:]) if ours else ours  # a counter has no rows


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without what makes a convolution of 1 × 1 out of a matrix."""
    return shape[:2] if shape[2:] == (1, 1) else shape
