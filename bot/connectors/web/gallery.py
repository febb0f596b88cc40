"""What the local chat has to show: its subjects and pictures, and which objects of the store a page may see."""

import asyncio
import logging
import re

from bot.app import Darkroom
from bot.commands.drafts import Draft, read
from bot.connectors.web.thumbnails import MEDIA_TYPE, thumbnail
from bot.core import access, policy
from bot.core.context import may_see_job
from bot.core.local_space import PERSON, SPACE, USER
from bot.core.messages import Button, Reply
from bot.kinds import presenter_of
from bot.kinds.subject_buttons import about_subject
from storage.contract.base import Record
from storage.contract.jobs import Job
from storage.contract.outcomes import Picture
from storage.contract.subjects import Subject
from storage.errors import Damaged, Missing
from storage.ids import is_id
from storage.recent_set import RecentSet

log = logging.getLogger(__name__)

OURS = 10_000  # jobs and subjects of which it is remembered that they are this space's

# Pictures only, by their names: never records, weights or checkpoints.
PICTURE = re.compile(
    r"(?P<home>jobs|subjects|drafts)/(?P<id>[0-9a-f]{20})/([a-z0-9_-]+/)*[a-z0-9_-]+\.(?P<type>png|jpg|webp)"
)
THUMBNAILS_AT_ONCE = 4
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


class GallerySubject(Record):
    """A subject as the gallery shows it."""

    name: str
    noun: str
    state: str  # a newer version may know more than we do
    sample: Picture | None
    buttons: tuple[Button, ...]


class GalleryJob(Record):
    """The pictures of one job, with all that the chat says of them."""

    job: str
    said: str
    at_s: float
    reply: Reply


class Gallery:
    """The subjects and pictures of the local space, read from the store."""

    def __init__(self, app: Darkroom) -> None:
        self.app = app
        self._making = asyncio.Semaphore(THUMBNAILS_AT_ONCE)
        self._ours = RecentSet[str](OURS)  # homes of pictures that were seen to belong to this space

    async def subjects(self) -> list[GallerySubject]:
        """All subjects, newest first, each with its newest sample."""
        return [
            GallerySubject(
                name=subject.name,
                noun=subject.noun,
                state=subject.state,
                sample=subject.samples[-1] if subject.samples else None,
                buttons=about_subject(subject),
            )
            for subject in await access.visible_subjects(self.app, PERSON)
        ]

    async def pictures(self, before: str, most: int) -> list[GalleryJob]:
        """Finished jobs with pictures, newest first: `most` of them or a few more, all older than job `before`."""
        drawn: list[GalleryJob] = []
        async for jobs in self.app.dispatch.index.of_space(SPACE, before=before, page=most):
            drawn += [made for made in await asyncio.gather(*map(self._drawing_jobs, jobs)) if made]
            if len(drawn) >= most:
                break
        return drawn

    async def _drawing_jobs(self, job_id: str) -> GalleryJob | None:
        try:
            job = await self.app.dispatch.job(job_id)
            outcome = await self.app.dispatch.outcome(job)
        except Missing:
            return None
        except Damaged as error:
            log.warning("a job is left out: %s", error)
            return None
        if not presenter_of(job).draws or not outcome or not await may_see_job(self.app, PERSON, job):
            return None
        reply = presenter_of(job).finished(job, outcome, await self.app.subjects_of(job))
        if not reply.pictures:
            return None
        return GalleryJob(job=job.id, said=job.said, at_s=job.accepted_s, reply=reply)

    async def picture(self, key: str) -> tuple[bytes, str]:
        """A picture's bytes and media type; raises Missing for whatever is no picture of this space."""
        match = await self._checked(key)
        return (await self.app.store.get(key)).data, TYPES[match["type"]]

    async def thumbnail(self, key: str) -> tuple[bytes, str]:
        """The bytes of a picture's thumbnail; a small picture or a photo is its own."""
        match = await self._checked(key)
        if match["type"] == "png" and "/photos/" not in key:
            async with self._making:
                if small := await thumbnail(self.app.store, f"{match['home']}/{match['id']}", key):
                    return small, MEDIA_TYPE
        return await self.picture(key)

    async def _checked(self, key: str) -> re.Match[str]:
        """The parts of a picture's name; raises Missing for whatever is no picture of this space."""
        match = PICTURE.fullmatch(key)
        if not match or not is_id(match["id"]) or not await self._is_ours(match["home"], match["id"], key):
            raise Missing(f"{key!r} is no picture of this chat.")
        return match

    async def _is_ours(self, home: str, owner: str, key: str) -> bool:
        """Whether the person may see the job or subject that a picture belongs to, and a photo is their own."""
        kind = "photos" if "/photos/" in key else home
        if f"{kind}/{owner}" not in self._ours:
            record = await self._record(home, owner)
            if not await self._may_see(record) or (kind == "photos" and record.owner != USER):
                return False
            self._ours.add(f"{kind}/{owner}")
        return True

    async def _may_see(self, record: Job | Subject | Draft) -> bool:
        if isinstance(record, Subject):
            return policy.may_see(record, PERSON.actor)
        if isinstance(record, Draft):
            return (record.space, record.owner) == (SPACE, USER)
        return await may_see_job(self.app, PERSON, record)

    async def _record(self, home: str, owner: str) -> Job | Subject | Draft:
        if home == "jobs":
            return await self.app.dispatch.job(owner)
        return await (self.app.subjects.get(owner) if home == "subjects" else read(self.app.store, owner))
