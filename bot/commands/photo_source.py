"""Drawing from photos alone: the first look of a training, and the choice between it and what was learned."""

from typing import Any

from bot.arguments import prompts
from bot.arguments.source_arguments import SourceArguments
from bot.commands.command import command
from bot.core import access, policy
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Reply, Request
from bot.kinds.subject_buttons import about_subject
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob

FIRST_LOOK_SEED = 40  # that of report cards: subjects can be compared
PLACE = "in Paris"  # where the first look shows a subject, as in all examples
NO_PHOTOS = "{name} cannot be drawn from its photos: its base model draws from none, or there are none of it."


def first_look_of(request: Request, subject: Subject) -> ImagineJob | None:
    """The drawing that goes with the training of a new subject, in base models that draw from photos."""
    if not subject.references:
        return None
    prompt = f"a [{subject.name}] {subject.noun} {PLACE}"
    how: dict[str, Any] = {"prompt": prompt, "said": f"/imagine {prompt}", "seed": FIRST_LOOK_SEED}
    how |= {"model_prompt": prompts.photo_prompt(prompt, prompts.named_again(prompt, [subject])), "from_photos": True}
    unasked = ("steps", "guidance", "scheduler")
    return ImagineJob(**{**request.origin, "id": new_id()}, subjects=(subject.id,), unasked=unasked, **how)


@command("dreambooth use", "Draw a subject from its photos alone, or as it was learned.", needs_subjects=1)
async def use(bot: CommandContext, request: Request, given: SourceArguments) -> ReplyStream:
    """Set what a subject is drawn from; the other one stays there."""
    subject = prompts.by_name(given.name, await access.visible_subjects(bot, request))
    policy.check(request.actor, "change", subject)
    if given.source == "photos" and not subject.has_photo_source:
        raise UserError(NO_PHOTOS.format(name=subject.name))
    if subject.state != "ready":
        meanwhile = ": until then it is drawn from its photos" if subject.is_drawable else ""
        raise UserError(f"{subject.name} is not learned yet{meanwhile}.")
    chosen = {"drawn_from": given.source}
    subject = await bot.subjects.change(subject.id, lambda record: record.model_copy(update=chosen))
    now = "from its photos alone" if given.source == "photos" else "as it was learned"
    text = f"{subject.name} is now drawn {now}."
    yield Reply(text=text, buttons=about_subject(subject))
