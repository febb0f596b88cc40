"""What `darkroom doctor` says of a base model besides memory: where it is, its licence, its twin, oddities."""

from pathlib import Path

import torch

from storage.settings.trainer import TrainerSettings
from trainer.memory.fit import in_gb
from trainer.models.darkroom_json import distilled, drawing_of, draws_from_the_end, usual_drawing
from trainer.models.diffusers_layout import RECIPE_FILE, some_of
from trainer.models.families import family_of, single_files
from trainer.models.hub import HubName
from trainer.models.local_files import TOYWORLD_FOLDER
from trainer.models.sources import ModelSource
from trainer.models.twin import find_twin


def where(source: ModelSource) -> str:
    """Where it is, and what is still to be downloaded."""
    if source.missing_bytes:
        return f"{source.called} is on the hub: {in_gb(source.missing_bytes)} are downloaded when a worker starts."
    if not source.files:
        return f"{source.called} is whole, and read with the settings in {source.folder}."
    return f"{source.called} is in {source.folder}."


def licence(source: ModelSource) -> tuple[str, ...]:
    """Under which licence the model's makers have published it."""
    if source.folder == TOYWORLD_FOLDER:  # which is Darkroom's own
        return ()
    family, licence = family_of(source.folder), family_of(source.folder).licence_of(source.folder)
    conditions = f", with conditions: {licence.conditions}" if licence.conditions else ""
    return (f"{family.name} is published under {licence.name} ({licence.url}){conditions}.",)


def drafts(source: ModelSource, dtype: torch.dtype, settings: TrainerSettings) -> tuple[str, ...]:
    """By which few-step twin drafts are drawn, or could be; raises SetupError for one that does not fit."""
    fitting = family_of(source.folder).twin_of(source.folder)
    if settings.twin_model:
        twin = find_twin(settings.twin_model, source, settings.home, dtype, weights=False)
        known = f"; {fitting.transfer}" if fitting else ""
        return (f"Drafts are drawn by {twin.called.replace('The base', 'the few-step', 1)}{known}.",)
    if not fitting or drawing_of(source.folder).guidance == 1:  # it is a few-step model itself
        return ()
    both = f"DARKROOM_BASE_MODEL={settings.base_model},{fitting.name}"
    return (f"{fitting.name} could draw drafts in a few steps ({both}); {fitting.transfer}.",)


def asides(source: ModelSource, settings: TrainerSettings) -> tuple[str, ...]:
    """What else there is to say of the base model: that it is distilled, and what nobody reads of its file."""
    path = Path(settings.base_model).expanduser()
    sentences, names, left_out = [], [HubName.of(settings.base_model).repo, path.stem], list[str]()
    if not source.files:  # a single file that is not converted yet
        names += single_files(path).model_names(path)
        left_out = single_files(path).not_read(path, source.folder)
    drawing = drawing_of(source.folder)
    if distillation := distilled(source.folder, *names):
        usual = usual_drawing(source.folder, distillation)
        how = {**usual.model_dump(exclude_none=True), **drawing.model_dump(exclude_none=True)}
        defaults = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in how.items()
        )
        sentences.append(
            f"It is distilled ({distillation.kind}: {distillation.sign}), so unless somebody asks for other settings "
            f"it draws with {defaults}; {RECIPE_FILE} may say otherwise."
        )
    elif draws_from_the_end(source.folder) and not drawing.steps:
        sentences.append(
            "Its scheduler begins at the very last step (timestep_spacing trailing), as those of distilled models do: "
            f'if it is one, say so in {source.folder / RECIPE_FILE}, as {{"drawing": {{"steps": 4, "guidance": 1}}}}.'
        )
    if left_out:
        sentences.append(f"The file holds more than a base model; nobody reads of it: {some_of(left_out)}.")
    return tuple(sentences)
