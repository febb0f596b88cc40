"""The commands that ask questions, ask them again, and show what an answer was made of."""

from collections.abc import Sequence
from typing import Any

from bot.arguments.arguments import JobArguments
from bot.arguments.ask_arguments import LAST, AskArguments
from bot.commands.command import command
from bot.core import policy
from bot.core.context import CommandContext, ReplyStream, find_job, may_see_job
from bot.core.messages import Accepted, Button, Reply, Request
from bot.kinds.answer_text import LinkedText, add_sources, source_line
from storage.ask.documents import Documents
from storage.ask.filter_input import read_filters
from storage.contract.ask import Answer, AskFilters
from storage.contract.jobs import Job
from storage.contract.posted_messages import jobs_posted_as
from storage.errors import UserError
from storage.kinds import kind_of
from storage.kinds.ask import ASK, TURNS_MAX, AskJob, asker_key, thread_key
from storage.lifecycle.finalize import delete_job
from storage.nouns import with_article

CANDIDATES = 20  # newest questions of a person or a thread, of which one is followed up on
FILTERS = ("domains", "recency", "after", "before", "mode", "size", "language")
NOT_ANSWERED = "That question is not answered yet."
ELSEWHERE = "That answer is not for everybody who reads here, so it cannot be followed up on here."


@command("ask", "Ask a question; the answer cites its sources.", "everyone")
async def ask(bot: CommandContext, request: Request, given: AskArguments) -> ReplyStream:
    """Answer a question from sources; within a thread, with what was asked and found there before."""
    jobs = given.model_dump(include=set(FILTERS), exclude_defaults=True)
    filters = read_filters(**jobs)
    before = await _followed(bot, request, given.follow) if given.follow else await last_of_thread(bot, request)
    if before and not jobs:
        filters = before.filters
    thread = _thread(request, before)
    yield await accept_question(bot, request, given.question, filters, thread=thread, **turns_until(before))


@command("search again", "Look for an answer anew.", "everyone", hidden=True)
async def search_again(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """Ask the same once more: sources are looked for anew."""
    old = await find_question(bot, request, given.job)
    yield await _again(bot, request, old, is_short=old.is_short)


@command("shorter", "Answer in two sentences.", "everyone", hidden=True)
async def shorter(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """Ask the same for an answer of two sentences."""
    old = await find_question(bot, request, given.job)
    yield await _again(bot, request, old, is_short=True)


@command("sources", "Show the sources of an answer.", hidden=True)
async def sources(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """Show all sources that were read for an answer, and why they are ranked as they are."""
    job, answer = await find_answer(bot, request, given.job)
    linked = LinkedText()
    linked.add(f"Sources of “{job.question}”:" if answer.sources else "There are no sources of this answer.")
    add_sources(linked, answer.cited_sources, with_reasons=True)
    cited = {source.id for source in answer.cited_sources.values()}
    others = [source for source in answer.sources if source.id not in cited]
    if others:
        linked.add("\n\nRead, and not cited:")
    for source in others:
        linked.add("\n· ")
        linked.add(source_line(source), source.url)
    yield Reply(text=linked.text, links=linked.links, job=job.id)


@command("related", "Show questions that may follow.", hidden=True)
async def related(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """Offer questions that may follow an answer."""
    job, answer = await find_answer(bot, request, given.job)
    questions = answer.related_questions
    buttons = tuple(
        Button(label=question, command="ask", arguments={"question": question, "follow": job.id}, home=f"jobs/{job.id}")
        for question in questions
    )
    yield Reply(text="\n".join(questions) or "I know of no related questions.", buttons=buttons, job=job.id)


@command("answer delete", "Delete an answer.", "in place", hidden=True)
async def delete_answer(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """Delete a question and its answer."""
    job = await find_question(bot, request, given.job, to_remove=True)
    policy.check(request.actor, "delete", job)
    await bot.dispatch.cancel(job)
    await delete_job(bot.store, job.id, job)
    yield Reply(text=f"Deleted the question and its answer. {await bot.retract_posted(job.space, request)}".strip())


async def find_question(bot: CommandContext, request: Request, prefix: str, *, to_remove: bool = False) -> AskJob:
    """A question that the person may see, by its id; raises UserError if it is none."""
    job = await find_job(bot, request, prefix, to_remove=to_remove)
    if not isinstance(job, AskJob):
        raise UserError(f"That was {with_article(kind_of(job).noun)}, not a question.")
    return job


async def find_answer(bot: CommandContext, request: Request, prefix: str) -> tuple[AskJob, Answer]:
    """A question and its answer, as the person may see them; raises UserError."""
    job = await find_question(bot, request, prefix)
    outcome = await ASK.read_outcome(bot.store, job.id)
    if not outcome or not outcome.answer:
        raise UserError(NOT_ANSWERED if not outcome else "That question has no answer.")
    return job, outcome.answer


async def last_of_thread(bot: CommandContext, request: Request) -> AskJob | None:
    """The newest answered question of the thread that a request comes from, if there is one.

    It was asked in the thread, or its answer is the message that the thread is about.
    """
    if not request.thread:
        return None
    jobs = await bot.dispatch.index.under(request.space, thread_key(request.thread), CANDIDATES)
    return await _first_to_follow(bot, request, jobs) or await question_posted_as(bot, request, request.thread)


async def question_posted_as(bot: CommandContext, request: Request, message: str) -> AskJob | None:
    """The question whose answer is a message of this id, if the person may follow up on it there."""
    platform = request.space.partition(":")[0]
    ids = await jobs_posted_as(bot.store, platform, message, CANDIDATES)
    jobs = [await bot.dispatch.index.job(each) for each in reversed(ids)]
    return await _first_to_follow(bot, request, jobs)


async def _first_to_follow(bot: CommandContext, request: Request, jobs: Sequence[Job | None]) -> AskJob | None:
    """The first answered question of some jobs that everybody may see who reads where the request comes from."""
    for job in jobs:
        if not isinstance(job, AskJob) or not policy.is_as_public(job, request.origin):
            continue
        if await may_see_job(bot, request, job) and await ASK.read_outcome(bot.store, job.id):
            return job
    return None


async def _followed(bot: CommandContext, request: Request, follow: str) -> AskJob:
    """The question that is followed up on; raises UserError."""
    if follow == LAST:
        mine = await bot.dispatch.index.under(request.space, asker_key(request.user), CANDIDATES)
        before = next((job for job in mine if isinstance(job, AskJob)), None)
        if before is None:
            raise UserError("You have asked nothing here yet that could be followed up on.")
    else:
        before = await find_question(bot, request, follow)
    if not policy.is_as_public(before, request.origin):
        raise UserError(ELSEWHERE)
    if not await ASK.read_outcome(bot.store, before.id):
        raise UserError(NOT_ANSWERED)
    return before


def _thread(request: Request, before: AskJob | None) -> str:
    return request.thread or (before.thread if before else "")


async def _again(bot: CommandContext, request: Request, old: AskJob, is_short: bool) -> Reply:
    if not policy.is_as_public(old, request.origin):
        raise UserError(ELSEWHERE)
    turns = {"history": old.history, "conversation": old.conversation}
    return await accept_question(bot, request, old.question, old.filters, thread=old.thread, is_short=is_short, **turns)


def turns_until(before: AskJob | None) -> dict[str, Any]:
    """The fields of a job that say what was asked and answered before it, up to another one."""
    if not before:
        return {}
    return {"history": (*before.history, before.id)[-TURNS_MAX:], "conversation": before.conversation}


async def accept_question(
    bot: CommandContext, request: Request, question: str, filters: AskFilters, **more: Any
) -> Accepted:
    """Accept a question, with the documents that everybody may read who reads its answer; raises UserError."""
    documents = await Documents(bot.store).in_space(request.space)
    quotable = tuple(each.as_read for each in documents if policy.may_quote(each, request.actor, request.origin))
    said = f"/ask {question}"
    job = AskJob(**request.origin, said=said, question=question, filters=filters, documents=quotable, **more)
    return await bot.accept(job)
