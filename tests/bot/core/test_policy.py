"""Who may do what: the policy as a table, and each command as each kind of person gets to use it."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bot.app import Darkroom
from bot.core import policy
from bot.core.messages import Reply, Request
from bot.core.policy import Actor
from bot.photos.uploads import Upload
from storage.contract.jobs import Audience
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from tests.conftest import CALLED, Chat, photos_of_a_character
from tests.support.bot_process import NO_LIMITS, settings_of
from tests.support.quick import slow_but

SPACE = "discord:1"
WALKS, CLUB = "C-walks", "C-club"  # channels; a private subject's pictures were drawn in the second
GROUP = "4711"

ACTORS = {
    "owner": Actor(space=SPACE, person="ada", channels=(CLUB,)),
    "owner, old DM": Actor(space=f"{SPACE}:D1", person="ada", channels=("D1",), own_spaces=(SPACE,)),
    "group member": Actor(space=SPACE, person="bob", channels=("C-other",), groups=(GROUP,)),
    "same channel": Actor(space=SPACE, person="cem", channels=(WALKS,)),
    "stranger": Actor(space=SPACE, person="dan", channels=("C-other",)),
    "moderator": Actor(space=SPACE, person="eve", channels=("C-other",), moderates="space"),
    "channel moderator": Actor(space=SPACE, person="fay", channels=(WALKS,), moderates="channel"),
    "other channel's moderator": Actor(space=SPACE, person="gus", channels=("C-other",), moderates="channel"),
    "outsider": Actor(space="discord:2", person="ada", channels=(WALKS,), groups=(GROUP,), moderates="space"),
}
OWNER = {"owner", "owner, old DM"}
EVERYBODY = set(ACTORS) - {"outsider"}
SEES: dict[Audience, set[str]] = {
    "private": OWNER,
    "channel": OWNER | {"same channel", "channel moderator"},
    "group": OWNER | {"group member"},
    "space": EVERYBODY,
}
FORGETS: dict[Audience, set[str]] = {
    "private": OWNER | {"moderator"},
    "channel": OWNER | {"moderator", "channel moderator"},
    "group": OWNER | {"moderator"},
    "space": OWNER | {"moderator"},
}
WITH = {"channel": WALKS, "group": GROUP}


def subject(shared: Audience, space: str = SPACE) -> Subject:
    return Subject(
        space=space,
        owner="ada",
        name="rex",
        noun="dog",
        identifier="zof",
        base_model="-",
        state="ready",
        shared=shared,
        shared_with=WITH.get(shared, ""),
    )


def drawing(*subjects: Subject, **more: object) -> ImagineJob:
    first = subjects[0].id if subjects else None
    about = {"space": SPACE, "owner": "ada", "said": "/imagine secret", "prompt": "secret", "model_prompt": "secret"}
    return ImagineJob.model_validate({**about, "seed": 1, "subject": first, **more})


@pytest.mark.parametrize("shared", SEES)
@pytest.mark.parametrize("who", ACTORS)
def test_subjects(who: str, shared: Audience) -> None:
    rex, actor = subject(shared), ACTORS[who]
    assert policy.may_see(rex, actor) == policy.may_draw(rex, actor) == (who in SEES[shared])
    assert policy.may_forget(rex, actor) == (who in FORGETS[shared])
    assert policy.may_share(rex, actor) == (who in OWNER)


@pytest.mark.parametrize("shared", SEES)
@pytest.mark.parametrize("who", ACTORS)
def test_jobs_are_seen_by_who_sees_the_subject_and_the_place(who: str, shared: Audience) -> None:
    rex, actor = subject(shared), ACTORS[who]
    here = drawing(rex, said_in=WALKS, shared="space")
    assert policy.may_see_job(here, [rex], actor) == (who in SEES[shared])
    secluded = drawing(rex, said_in=WALKS, shared="channel", shared_with=WALKS)
    assert policy.may_see_job(secluded, [rex], actor) == (who in SEES[shared] & SEES["channel"])
    old = drawing(rex)
    assert policy.may_see_job(old, [rex], actor) == (who in SEES[shared])
    assert policy.may_see_job(old, [], actor) == (who in OWNER), "its subject is gone"
    may = OWNER | {"moderator", "channel moderator"}
    assert policy.may_cancel(here, actor) == (who in may)
    assert policy.may_cancel(old, actor) == (who in may - {"channel moderator"})


@pytest.mark.parametrize("who", ACTORS)
def test_old_jobs_without_a_subject_are_their_owners(who: str) -> None:
    assert policy.may_see_job(drawing(), [], ACTORS[who]) == (who in OWNER)
    assert policy.may_see_job(drawing(said_in=WALKS, shared="space"), [], ACTORS[who]) == (who in EVERYBODY)


@pytest.mark.parametrize("who", ACTORS)
def test_who_may_not_is_told_who_may(who: str) -> None:
    rex, actor = subject("space"), ACTORS[who]
    for deed, may, others in (("retrain", OWNER, ""), ("forget", FORGETS["space"], ", or a moderator,")):
        if who in may:
            policy.check(actor, deed, rex)
        else:
            with pytest.raises(UserError, match=f"made this{others} can {deed} it"):
                policy.check(actor, deed, rex)


def test_a_request_that_an_older_version_kept_has_its_rights() -> None:
    old = {"space": SPACE, "user": "eve", "command": "delete", "asks": True, "sure": True}
    for rights, moderates in (({"moderator": True}, "space"), ({"channel_moderator": True}, "channel"), ({}, "")):
        request = Request.model_validate_json(json.dumps(old | rights))
        assert request.actor.moderates == moderates and not request.confirmed, "what it asked is asked again"


@pytest.fixture
async def bare(slack_queue: str, tmp_path: Path) -> AsyncIterator[Chat]:
    """A chat without workers, in a store of this test's own."""
    about = {"DARKROOM_HOME": str(tmp_path), "REDIS_URL": slack_queue, "DARKROOM_PHOTO_MIN_PX": "64"}
    app = await Darkroom.open(settings_of({**NO_LIMITS, **about}), slack_queue)
    yield Chat(app, SPACE)
    await app.redis.flushdb()
    await app.close()


NO_SUBJECT, NO_JOB, DONE = "There is no subject called rex", "There is no job", ""
OWNER_ONLY, OR_MODERATOR = "Only the person who made this can", "Only the person who made this, or a moderator, can"
PEOPLE: dict[str, dict[str, Any]] = {
    "owner": {"channel": CLUB},
    "group member": {"channel": "C-other", "groups": (GROUP,)},
    "same channel": {"channel": WALKS},
    "stranger": {"channel": "C-other"},
    "moderator": {"channel": "C-other", "moderates": "space"},
    "channel moderator": {"channel": WALKS, "moderates": "channel"},
    "outsider": {"channel": WALKS, "groups": (GROUP,), "moderates": "space"},
}
ABOUT_SUBJECTS = ("imagine", "dreambooth show", "dreambooth share", "dreambooth retrain", "dreambooth forget")
REMOVING = ("dreambooth cancel", "delete")
SHOWING = ("again", "variations", "full", "details", "choose")
REMOVES_JOBS = {"owner", "moderator", "channel moderator"}


def answer_to(who: str, command: str, shared: Audience) -> str:
    """How the answer to a person begins who asks about a subject, or pictures of it; empty: it is done."""
    sees, nothing = who in SEES[shared], NO_SUBJECT if command in ABOUT_SUBJECTS else NO_JOB
    if command in REMOVING:
        return DONE if who in REMOVES_JOBS else OR_MODERATOR if sees else nothing
    if command == "dreambooth forget":
        return DONE if who in FORGETS[shared] else OR_MODERATOR if sees else nothing
    if command in ("dreambooth share", "dreambooth retrain"):
        return DONE if who == "owner" else OWNER_ONLY if sees else nothing
    return DONE if sees else nothing


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shared", slow_but(SEES, "private", "channel"))
@pytest.mark.parametrize("command", [*ABOUT_SUBJECTS, *REMOVING, *SHOWING])
async def test_each_command_to_each_person(bare: Chat, command: str, shared: Audience) -> None:
    for who, about in PEOPLE.items():
        rex = subject(shared, bare.space)
        await bare.app.subjects.add(rex)
        job = drawing(rex, space=bare.space, shared="space", said_in=WALKS)
        await bare.app.dispatch.accept(job)
        asks = Chat(bare.app, "discord:2" if who == "outsider" else SPACE, "ada" if who == "owner" else who, **about)
        reply = await first(asks, command, arguments_of(command, job.id))
        expected = answer_to(who, command, shared)
        refused = reply.text if any(map(reply.text.startswith, (NO_SUBJECT, NO_JOB, "Only the person"))) else DONE
        assert refused.startswith(expected) and bool(refused) == bool(expected), (who, reply.text)
        assert who in SEES[shared] or "secret" not in reply.text
        await bare.app.subjects.forget(rex)
        await bare.app.store.delete_prefix("jobs/")


def arguments_of(command: str, job: str) -> dict[str, object]:
    """What to give with a command."""
    more: dict[str, dict[str, object]] = {
        "imagine": {"prompt": "a [rex] dog", "count": 1},
        "dreambooth share": {"name": "rex", "audience": "space"},
        "variations": {"job": job, "seed": 1},
        "full": {"job": job, "number": 1},
        "choose": {"job": job, "step": 1},
    }
    return more.get(command, {"name": "rex"} if command in ABOUT_SUBJECTS else {"job": job})


async def first(chat: Chat, command: str, arguments: dict[str, object]) -> Reply:
    """The first reply to a command that says something; a drawing waits for no worker."""
    given = {CALLED.get(name, name): str(value) for name, value in arguments.items()}
    request = Request(space=chat.space, user=chat.user, command=command, arguments=given, **chat.who)
    async with aclosing(chat.app.answer(request)) as replies:
        return await anext(replies)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("command", "label"), [("dreambooth forget", "Forget"), ("forget-me", "Forget everything")])
async def test_what_cannot_be_undone_is_asked_first_wherever_it_is_typed(bare: Chat, command: str, label: str) -> None:
    rex = subject("space", bare.space)
    await bare.app.subjects.add(rex)
    ada, given = bare.by("ada", confirmed=False), {"name": "rex"} if " " in command else {}
    (question,) = await ada(command, **given)
    (button,) = question.buttons
    assert question.question and question.text.startswith("Forget ") and (button.label, button.confirm) == (label, "")
    assert await bare.app.subjects.get(rex.id) == rex
    assert (await bare.by("ada")(button.command, **button.arguments))[-1].text.startswith("Forgot ")


@pytest.mark.timeout(300)
async def test_lists_say_of_others_private_work_only_that_it_is_there(bare: Chat) -> None:
    rex = subject("private", bare.space)
    await bare.app.subjects.add(rex)
    training = TrainJob(
        space=bare.space, owner="ada", said="/dreambooth train rex dog", subjects=(rex.id,), shared="space"
    )
    for job in (drawing(rex, space=bare.space, shared="space"), training):
        await bare.app.dispatch.accept(job)
    mine = " ".join((await bare.by("ada")("jobs"))[-1].facts.values())
    assert "/imagine secret" in mine and "train rex" in mine
    for moderates in ("", "space"):
        theirs = bare.by("dan", moderates=moderates)
        listed = (await theirs("jobs"))[-1]
        assert sorted(listed.facts.values()) == ["somebody's drawing — open", "somebody's training — open"]
        assert not (await theirs("dreambooth list"))[-1].facts


@pytest.mark.timeout(300)
async def test_what_is_made_in_a_private_channel_is_for_that_channel(bare: Chat) -> None:
    ada = bare.by("ada", channel=CLUB, secluded=CLUB)
    photos = photos_of_a_character(3)
    reply = await first_job(ada, "dreambooth train", photos, name="rex", noun="dog")
    job = await bare.app.dispatch.job(reply)
    assert (job.said_in, job.shared, job.shared_with) == (CLUB, "channel", CLUB)
    found = await bare.app.subjects.find(bare.space, "rex")
    assert found and (found.shared, found.shared_with) == ("channel", CLUB)
    assert "somebody's training" in str((await bare.by("dan", channel=WALKS)("jobs"))[-1].facts)
    assert "train rex" in str((await bare.by("dan", channel=CLUB)("jobs"))[-1].facts)
    shown = (await ada("dreambooth show", name="rex"))[-1]
    assert shown.facts["shared with"].startswith("everybody in the channel that it is shared with")
    assert shown.place and (shown.place.kind, shown.place.id) == ("channel", CLUB)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"audience": "private"}, ("private", "")),
        pytest.param({"audience": "channel"}, ("channel", WALKS), marks=pytest.mark.slow),
        pytest.param({"audience": "space"}, ("space", ""), marks=pytest.mark.slow),
        pytest.param({"group": "4711"}, ("group", "4711"), marks=pytest.mark.slow),
        ({}, ("space", "")),
    ],
)
async def test_a_training_says_with_whom(bare: Chat, given: dict[str, str], expected: tuple[str, str]) -> None:
    ada = bare.by("ada", channel=WALKS)
    job = await bare.app.dispatch.job(
        await first_job(ada, "dreambooth train", photos_of_a_character(3), name="rex", noun="dog", **given)
    )
    assert isinstance(job, TrainJob)
    found = await bare.app.subjects.get(job.subjects[0])
    assert (found.shared, found.shared_with) == expected


async def first_job(chat: Chat, command: str, uploads: tuple[Upload, ...], **arguments: object) -> str:
    """Send a command with photos; return the id of the job that it becomes."""
    given = {CALLED.get(name, name): str(value) for name, value in arguments.items()}
    request = Request(space=chat.space, user=chat.user, command=command, arguments=given, uploads=uploads, **chat.who)
    async with aclosing(chat.app.answer(request)) as replies:
        async for reply in replies:
            assert not reply.fault, reply.text
            if reply.job:
                return reply.job
    raise AssertionError("no job")
