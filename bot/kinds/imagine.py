"""How chats show drawings."""

from collections.abc import Sequence

from bot.core.messages import Button, Reply
from bot.kinds.presenter import JobPresenter, details_button, in_words, subject_facts
from storage.contract.outcomes import Picture
from storage.contract.progress import Progress
from storage.contract.subjects import Subject
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.text import duration

DELETE_ONE = "Delete this picture for good?"


class ImaginePresenter(JobPresenter[ImagineJob, ImagineOutcome]):
    """Pictures, with buttons to draw them again, vary, enlarge and delete them."""

    draws = True

    def pictures(self, outcome: ImagineOutcome) -> tuple[Picture, ...]:
        """Its pictures."""
        return outcome.pictures

    def working(self, job: ImagineJob, progress: Progress) -> Reply:
        """Say where it is, with the pictures that are done, and which preview there is of the others."""
        number, reply = progress.live.get("preview"), super().working(job, progress)
        return reply.model_copy(update={"preview": number if isinstance(number, int) else 0, "is_partial": True})

    def done(self, job: ImagineJob, outcome: ImagineOutcome, subjects: Sequence[Subject]) -> Reply:
        """Show the pictures."""
        return Reply(
            text=outcome.message,
            pictures=outcome.pictures,
            grid=outcome.grid,
            buttons=_buttons(job, len(outcome.pictures)),
            picks=(details_button(job), *_picks(job, outcome)),
            job=job.id,
            facts=self.details(job, outcome, subjects),
        )

    def details(self, job: ImagineJob, outcome: ImagineOutcome, subjects: Sequence[Subject]) -> dict[str, str]:
        """Prompt, seeds and settings."""
        # The outcome's settings and not the job's: the base model may have had its own for what nobody asked for.
        settings = {name: value for name, value in outcome.settings.items() if name != "seed" and value != ""}
        return {
            "prompt": job.prompt,
            "seeds": ", ".join(str(picture.seed) for picture in outcome.pictures),
            "job": job.id,
            "took": duration(outcome.seconds),
            **{in_words(name): str(value) for name, value in settings.items()},
            **subject_facts(subjects),
            **subject_version(outcome.subject_version),
        }


def subject_version(version: str | None) -> dict[str, str]:
    """What *details* say of the weights that pictures were drawn with, or that were learned."""
    return {"subject version": ", ".join(each[:12] for each in version.split(", "))} if version else {}


def _buttons(job: ImagineJob, count: int) -> tuple[Button, ...]:
    return (
        Button(label="Again", command="again", arguments={"job": job.id}, style="primary"),
        Button(label="Variations", command="variations", arguments={"job": job.id, "seed": str(job.seed)}),
        Button(label="Edit prompt", command="imagine", arguments={"like": job.id}, form=True),
        Button(
            label="Delete",
            command="delete",
            arguments={"job": job.id},
            style="danger",
            confirm=f"Delete all {count} pictures for good?" if count > 1 else DELETE_ONE,
        ),
    )


def _picks(job: ImagineJob, outcome: ImagineOutcome) -> tuple[Button, ...]:
    """What can be done with single pictures."""
    numbered = list(enumerate(outcome.pictures, 1))
    vary = [
        Button(label=f"V{k}", command="variations", arguments={"job": job.id, "seed": str(p.seed)}, group="Variations")
        for k, p in numbered
    ]
    full = [
        Button(label=f"Full {k}", command="full", arguments={"job": job.id, "number": str(k)}, group="Full size")
        for k, _ in numbered
    ]
    delete = [
        Button(
            label=f"Delete {k}",
            command="delete",
            arguments={"job": job.id, "seed": str(p.seed)},
            confirm=DELETE_ONE,
            group="Delete one",
        )
        for k, p in numbered
    ]
    # A single picture is deleted with its job.
    return (*vary, *full, *(delete if len(delete) > 1 else ()))
