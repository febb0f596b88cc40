"""The commands that learn a subject: vet the photos, keep them, hand the training to a worker."""

from functools import partial

from bot.arguments import prompts, recipe_options
from bot.arguments.arguments import ChooseArguments, DraftArguments, RetrainArguments, TrainArguments
from bot.commands import drafts
from bot.commands.command import command
from bot.commands.name_reuse import check_name, take_name
from bot.commands.photo_source import first_look_of
from bot.core import access, policy
from bot.core.context import CommandContext, ReplyStream, find_job
from bot.core.messages import Accepted, Reply, Request
from bot.core.policy import is_direct
from bot.kinds import presenter_of
from bot.photos import captions
from bot.photos.uploads import Upload
from bot.photos.vetting import PreparedPhoto, Vetting, check_number, vet
from storage.contract.recipe import Changes
from storage.contract.subjects import Subject, unaccepted_key
from storage.errors import Damaged, Missing, UserError
from storage.kinds.train import TrainJob
from storage.kinds.train_end import TRAIN
from storage.lifecycle import choose_candidate
from storage.lifecycle.finalize import finalize_job
from storage.queue.redis_errors import best_effort
from storage.queue.reference_photos import noted_references
from storage.settings.bot import BotSettings
from storage.text import plural


@command("dreambooth train", "Learn a subject from the photos you attach.", "everyone", takes_photos=True)
async def train(bot: CommandContext, request: Request, given: TrainArguments) -> ReplyStream:
    """Learn a subject from photos; where some are refused, ask first whether to go on without them."""
    uploads = captions.paired(request.uploads)
    check_number(len(uploads), bot.settings.photos_max)
    recipe_options.asked_for(
        bot.settings, given.recipe, given.changes
    )  # what is wrong with it is said before photos are read
    await check_name(bot, request, given.name)
    yield Reply(text=_looking(bot, request, len(uploads)), state="working")
    vetting = await vetted(bot, request, uploads)
    if vetting.refused and not request.confirmed:
        yield drafts.question(await drafts.keep(bot, request, given, vetting), vetting)
        return
    async for reply in _start(bot, request, given, vetting.accepted, vetting.summary):
        yield reply


def _looking(bot: CommandContext, request: Request, photos: int) -> str:
    """The first reply; it says whether the photos will be shown, before anything is made of them."""
    shown = bot.settings.photos_in_public and not is_direct(request.space)
    notice = " All who read this channel will see some of them when it is done." if shown else ""
    return f"Looking at your {plural(photos, 'photo')}.{notice}"


def photos_hint(settings: BotSettings) -> str:
    """What a form says beside the photos that it asks for."""
    shown = "They are shown in the channel when it is done." if settings.photos_in_public else "They are not shown."
    return f"Three to six from different sides work best. {shown}"


@command("draft train", "Train on the accepted photos.", "in place", hidden=True)
async def train_draft(bot: CommandContext, request: Request, given: DraftArguments) -> ReplyStream:
    """Learn a subject from the photos that were accepted."""
    draft = await drafts.find(bot, request, given.draft)
    await check_name(bot, request, draft.arguments.name)
    yield Reply(text="On it.", state="working")
    vetting = await vetted(bot, request, await drafts.uploads(bot, draft))
    async for reply in _start_drafted(bot, request, draft, vetting):
        yield reply


@command("draft add", "Add photos to those that can be used.", "in place", takes_photos=True, hidden=True)
async def add_to_draft(bot: CommandContext, request: Request, given: DraftArguments) -> ReplyStream:
    """Vet more photos beside those that wait, and train if all are fine now."""
    draft = await drafts.find(bot, request, given.draft)
    uploads = captions.paired(request.uploads)
    check_number(len(uploads), bot.settings.photos_max)
    check_number(len(uploads) + len(draft.photos), bot.settings.photos_max)
    yield Reply(text=_looking(bot, request, len(uploads)), state="working")
    vetting = await vetted(bot, request, (*await drafts.uploads(bot, draft), *uploads))
    if vetting.refused:
        yield drafts.question(await drafts.keep(bot, request, draft.arguments, vetting), vetting)
        await drafts.drop(bot, draft)  # now that its question has given way to the new one
        return
    async for reply in _start_drafted(bot, request, draft, vetting):
        yield reply


async def _start_drafted(bot: CommandContext, request: Request, draft: drafts.Draft, vetting: Vetting) -> ReplyStream:
    """Start what a draft was waiting for; the draft goes once that is accepted."""
    async for reply in _start(bot, request, draft.arguments, vetting.accepted, vetting.summary):
        if reply.job:
            await drafts.drop(bot, draft)
        yield reply


@command("draft drop", "Do not train.", "in place", hidden=True)
async def drop_draft(bot: CommandContext, request: Request, given: DraftArguments) -> ReplyStream:
    """Leave it, and forget the photos."""
    draft = await drafts.find(bot, request, given.draft)
    await drafts.drop(bot, draft)
    yield Reply(text=f"{draft.arguments.name} was not trained, and the photos are deleted.")


@command("dreambooth retrain", "Train a subject again.", "everyone", needs_subjects=1)
async def retrain(bot: CommandContext, request: Request, given: RetrainArguments) -> ReplyStream:
    """Learn a subject anew from the photos that it has; it stays as it is until that is done."""
    subject = prompts.by_name(given.name, await access.visible_subjects(bot, request))
    policy.check(request.actor, "retrain", subject)
    check_learnable(subject)
    command = f"/dreambooth retrain {subject.name}"
    changes = {
        **await _last_changes(bot, subject),
        **recipe_options.asked_for(bot.settings, given.recipe, given.changes),
    }
    subject = subject.model_copy(update={"method": changes.pop("method", subject.method)})
    job = _job(request, subject, command, given, changes)
    yield await bot.accept(job)


def check_learnable(subject: Subject) -> None:
    """Raise UserError unless a subject can be learned anew now."""
    if subject.state == "learning":
        raise UserError(f"{subject.name} is being trained already.")
    if not subject.photos:
        raise UserError(f"{subject.name} was imported without photos, so it cannot be trained again.")


async def _last_changes(bot: CommandContext, subject: Subject) -> Changes:
    """What was otherwise in the recipe when the subject was learned the last time."""
    try:
        job = TRAIN.of_this_kind(await bot.dispatch.job(subject.job)) if subject.job else None
    except (Missing, Damaged):
        job = None
    if job is None:
        return {}
    # `choose` is a wish for one training; the rest of a recipe is about the subject.
    once = {name: value for name, value in job.recipe.items() if name != "choose"}
    return {**once, **({"steps": job.steps} if job.steps else {})}


async def vetted(bot: CommandContext, request: Request, uploads: tuple[Upload, ...]) -> Vetting:
    """Judge the photos; raises UserError if none can be used."""
    read = partial(bot.decoders.read, request.person)
    vetting = await vet(uploads, read, bot.settings.photo_max_bytes)
    if not vetting.accepted:
        raise UserError(f"{vetting.summary} Nothing was trained.")
    return vetting


async def _start(
    bot: CommandContext, request: Request, given: TrainArguments, accepted: tuple[PreparedPhoto, ...], note: str
) -> ReplyStream:
    """Store the subject with its photos, and hand the training to a worker."""
    changes = recipe_options.asked_for(bot.settings, given.recipe, given.changes)
    asked = changes.pop("method", None)
    subject = Subject(
        space=request.space,
        owner=request.user,
        name=given.name,
        noun=given.noun,
        base_model=bot.settings.base_model,
        method=given.method or asked,
        job=request.id,
        references=await _references(bot),
        **access.shared(request, given.audience, given.group),
    )
    command, look = f"/dreambooth train {given.name} {given.noun}", first_look_of(request, subject)
    job = _job(request, subject, command, given, changes, note, look.id if look else "")
    # The quota comes before anything is deleted or stored, and photos before the job: its worker finds them.
    await bot.limits.admit(job)
    await keep(bot, subject, accepted)
    await take_name(bot, request, subject)
    await bot.dispatch.accept(job)
    if look:  # not refused for want of a place: it goes with the training
        await bot.dispatch.accept(look)
    await bot.store.delete(unaccepted_key(subject.id))
    yield Accepted(job=job.id)


async def _references(bot: CommandContext) -> int:
    """From how many photos the workers' base model draws; 0 while that cannot be known."""
    with best_effort("there is no first look"):
        return await noted_references(bot.redis)
    return 0


def _job(
    request: Request,
    subject: Subject,
    typed: str,
    given: TrainArguments | RetrainArguments,
    changes: Changes,
    note: str = "",
    first_look: str = "",
) -> TrainJob:
    return TrainJob(
        **request.origin,
        said=typed,
        subjects=(subject.id,),
        method=subject.method,
        steps=given.steps,
        recipe={**changes, **({"choose": True} if given.choose == "yes" else {})},
        seed=given.seed,
        note=note,
        first_look=first_look,
    )


async def keep(bot: CommandContext, subject: Subject, accepted: tuple[PreparedPhoto, ...]) -> None:
    """Store a new subject with its photos, or nothing at all; it is yet to get its name.

    A mark has what a crash or the store leaves swept up.
    """
    # Before the record, so that the sweep finds whatever a crash leaves between the two.
    await bot.store.put(unaccepted_key(subject.id), str(subject.job).encode())
    await bot.subjects.add_unnamed(subject)
    try:
        photos = [await photo.keep(bot.store, f"subjects/{subject.id}/photos/") for photo in accepted]
        await bot.subjects.change(subject.id, lambda s: s.model_copy(update={"photos": tuple(photos)}))
    except BaseException:
        await bot.subjects.forget(subject)
        raise


@command("choose", "Keep one of the candidates.", "in place", hidden=True)
async def choose(bot: CommandContext, request: Request, given: ChooseArguments) -> ReplyStream:
    """Make one of the candidates of a training the subject; the others are deleted."""
    job = TRAIN.of_this_kind(await find_job(bot, request, given.job))
    subject = await bot.subject_of(job) if job else None
    outcome = await bot.dispatch.outcome(job) if job else None
    if not job or not subject or not outcome:
        raise UserError("There is nothing to choose from there.")
    access.must_draw([subject], request, "That subject is not shared with you here.")
    subject = await choose_candidate.choose_candidate(bot.subjects, subject, job.id, given.step)
    # It deletes the candidates that were not chosen, now that the record names one.
    await finalize_job(bot.store, job)
    reply = presenter_of(job).finished(job, outcome, [subject])
    chosen = f"{subject.name} is now as it was after {given.step} steps."
    yield reply.model_copy(update={"text": f"{chosen}\n{reply.text}"})
