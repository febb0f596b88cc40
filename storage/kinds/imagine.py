"""Drawings: jobs that draw pictures from a prompt, and their outcomes."""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, model_validator

from storage.contract.fields import MANY, PIXELS_MAX, Text
from storage.contract.jobs import SEED_MAX, Job, Quality, SchedulerName
from storage.contract.outcomes import Outcome, Picture
from storage.contract.sizes import SIDE_MAX_PX, SIDE_MIN_PX, SIDE_STEP_PX, Aspect, Size, png_size
from storage.contract.subjects import subject_key
from storage.errors import UserError
from storage.kinds.kind import JobKind
from storage.objects.store import Store
from storage.settings.bot import BotSettings
from storage.text import plural

FROM_PHOTOS_VERSION = 2  # of a job whose subject is drawn from its photos
Unasked = Literal["steps", "guidance", "scheduler"]
Side: Any = Field(None, ge=SIDE_MIN_PX, le=SIDE_MAX_PX, multiple_of=SIDE_STEP_PX)  # of a picture, in pixels


class ImagineJob(Job):
    """Draw pictures from a prompt, in which `[name]` or `[V]` may stand for subjects: `subjects`, in its order.

    It is of version 2 where its subject is drawn from photos, which version 1 would draw by what was learned.
    """

    kind: Literal["imagine"] = "imagine"
    prompt: Text  # as the person wrote it
    model_prompt: Text  # as the model reads it: identifiers in place of [name] or [V]
    count: int = Field(4, ge=1, le=16)  # these limits are the front door's, too: a body may have been tampered with
    seed: int = Field(ge=0, le=SEED_MAX)
    steps: int = Field(30, ge=1, le=150)
    guidance: float = Field(5.0, ge=1, le=30)
    negative: Text = ""
    scheduler: SchedulerName = "dpm++2m"
    size_px: int | None = Side  # of a square; None: the base model's own size
    width_px: int | None = Side  # with a height: of pictures that need not be square
    height_px: int | None = Side
    aspect: Aspect = "1:1"  # of pictures with as many pixels as the base model's own, where no size is given
    quality: Quality | None = Field(None, exclude_if=lambda quality: quality is None)  # None: whichever is usual there
    vary_seed: int | None = Field(None, ge=0, le=SEED_MAX)  # *variations*: its noise is near that of this seed
    exact: bool = Field(
        False, exclude_if=lambda exact: not exact
    )  # in a batch of its own: who else draws changes no bit
    # Its subject is drawn from its photos and not by what was learned; `model_prompt` is written so.
    from_photos: bool = Field(False, exclude_if=lambda from_photos: not from_photos)
    unasked: tuple[Unasked, ...] = Field((), max_length=3)  # what nobody asked for: the base model's own counts there

    @model_validator(mode="before")
    @classmethod
    def _with_version(cls, data: Any, info: ValidationInfo) -> Any:
        """Say of a new job which version it takes to do it."""
        if info.mode == "json" or not isinstance(data, dict) or not data.get("from_photos"):
            return data
        return {**data, "schema_version": cls.known_version()}

    @classmethod
    def known_version(cls) -> int:
        """The newest version of such a job that this Darkroom understands."""
        return max(FROM_PHOTOS_VERSION, super().known_version())

    @property
    def size(self) -> Size | None:
        """Width and height; None if they follow from the base model's own size."""
        if self.width_px and self.height_px:
            return Size(self.width_px, self.height_px)
        return Size(self.size_px, self.size_px) if self.size_px else None

    def pixels(self, usual_px: int) -> int:
        """Pixels of all its pictures, where the base model's own are of such a side."""
        wide_px, high_px = self.size or (usual_px, usual_px)
        return self.count * wide_px * high_px


class ImagineOutcome(Outcome):
    """The pictures of a drawing, in the order of their seeds, and their grid."""

    pictures: tuple[Picture, ...] = Field((), max_length=MANY)
    grid: Picture | None = None
    subject_version: str | None = None  # sha256 of the subject's weights; of several, with commas between them
    settings: dict[str, str | int | float | None] = {}

    @property
    def published(self) -> set[str]:
        """Names of the pictures and their grid."""
        return {picture.key for picture in (*self.pictures, self.grid) if picture}


class ImagineKind(JobKind[ImagineJob, ImagineOutcome]):
    """What is accepted, and what follows from a drawing."""

    def check(self, job: ImagineJob, settings: BotSettings) -> None:
        """Raise UserError where all its pictures together have too many pixels."""
        wide, high = job.size or (1, 1)
        most = settings.pictures_max_pixels // (wide * high)
        if job.count > most:
            raise UserError(
                f"{plural(job.count, 'picture')} of {job.size} pixels are too much for one request. "
                f"Ask for {most} at most, or for a smaller size."
            )

    def units(self, job: ImagineJob) -> int:
        """Its pictures, each of which is a row of the batches that are drawn."""
        return job.count

    async def shows_forgotten(self, store: Store, job: ImagineJob, outcome: ImagineOutcome) -> bool:
        """Whether its pictures are of somebody who was forgotten just before they were published."""
        if not outcome.pictures:
            return False
        return not all([await store.exists(subject_key(each)) for each in job.subjects])

    async def recovered(self, store: Store, job: ImagineJob) -> ImagineOutcome | None:
        """What a damaged outcome said, by the pictures that are there; None if some are missing."""
        names = await store.names(f"jobs/{job.id}/")
        for grid in (name for name in names if name.endswith("/grid.png")):
            prefix = grid.removesuffix("grid.png")
            # Files are named by seed, and seeds follow from the job, so the outcome can be told from a listing.
            seeds = [(job.seed + k) % (SEED_MAX + 1) for k in range(job.count)]
            if all(f"{prefix}{seed}.png" in names for seed in seeds):
                pictures = [await _picture(store, f"{prefix}{seed}.png", job.prompt, seed) for seed in seeds]
                whole = await _picture(store, grid, job.prompt)
                made = {"pictures": tuple(pictures), "grid": whole}
                return ImagineOutcome(job=job.id, state="done", message=job.prompt, **made)
        return None


async def _picture(store: Store, key: str, caption: str, seed: int | None = None) -> Picture:
    """A PNG as an outcome names it."""
    try:
        size = png_size((await store.get(key)).data)
    except ValueError:  # it is damaged as well
        size = Size(0, 0)
    sides = {name: min(side_px, PIXELS_MAX) for name, side_px in size._asdict().items()}
    return Picture(key=key, caption=caption, seed=seed, **sides)


AT_ONCE = 8  # requests of different people that a worker takes ahead: their pictures share forward passes
IMAGINE = ImagineKind(
    "imagine",
    ImagineJob,
    ImagineOutcome,
    needs_gpu=True,
    at_once=AT_ONCE,
    one_per_person=True,
    noun="drawing",
    unit="picture",
)
