"""Requests and replies, as every front end has them: neutral, frozen, without a chat library."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from bot.core.policy import Actor, Moderates
from bot.photos.in_flight import InFlightShare
from bot.photos.uploads import Upload
from storage.contract.base import Record
from storage.contract.jobs import Audience
from storage.contract.outcomes import Picture
from storage.contract.progress import Progress
from storage.ids import new_id

SHOWN = 10  # pictures in a message at most; Discord takes no more


Fetch = Callable[[InFlightShare], Awaitable[tuple[Upload, ...]]]  # gets files that are not here yet, each or why not


class Request(Record):
    """One command of one person: its name, its arguments as text by name, and the files that came with it.

    A job that follows from it takes its id, so that asking twice is asking once and a front end finds it again.
    """

    space: str
    user: str
    command: str
    arguments: dict[str, str] = {}
    uploads: tuple[Upload, ...] = ()
    channel: str = ""  # where it was said
    thread: str = ""  # and in which thread of it, where threads have ids of their own
    secluded: str = ""  # the private channel or thread that it was said in: what is made there is shared with it
    own_spaces: tuple[str, ...] = ()  # other spaces whose subjects and jobs the person sees if they are their own
    groups: tuple[str, ...] = ()  # the person's Discord roles or Slack user groups
    moderates: Moderates = ""  # where the person may delete and forget what others made: here, or in this channel
    confirmed: bool = False  # whether the question that comes before it was answered with yes
    granted: str = ""  # the consent that the front end has seen the author of the photos give
    id: str = Field(default_factory=new_id)

    @model_validator(mode="before")
    @classmethod
    def _before_moderates(cls, data: Any) -> Any:
        """Read a request that an older version kept: rights were two fields."""
        if not isinstance(data, dict) or "moderates" in data:
            return data
        moderates = "space" if data.get("moderator") else "channel" if data.get("channel_moderator") else ""
        return {**data, "moderates": moderates}

    @property
    def actor(self) -> Actor:
        """The person, as the policy sees them."""
        return Actor(
            space=self.space,
            person=self.user,
            channels=tuple(filter(None, (self.channel, self.thread, self.secluded))),
            groups=self.groups,
            moderates=self.moderates,
            own_spaces=self.own_spaces,
        )

    @property
    def origin(self) -> dict[str, Any]:
        """The fields of a job that say by whom, where and for whom it was asked for."""
        shared: Audience = "channel" if self.secluded else "space"
        where = {"said_in": self.secluded or self.channel, "shared": shared, "shared_with": self.secluded}
        return {"id": self.id, "space": self.space, "owner": self.user, **where}

    def confirmation(self, button: "Button") -> "Reply | None":
        """What the button would ask, for who has typed what it does; None once that was answered with yes.

        What cannot be undone is asked about first: this is the one place that decides whether.
        """
        if self.confirmed:
            return None
        return Reply(text=button.confirm, buttons=(button.model_copy(update={"confirm": ""}),), question=True)

    @property
    def person(self) -> str:
        """Who asks, the same in all spaces of one chat platform."""
        return f"{self.space.partition(':')[0]}:{self.user}"


class PlaceMention(Record):
    """A channel, group or person that a reply's text calls by `words`, in place of which a chat may put the name."""

    kind: Literal["channel", "group", "person"]
    id: str
    words: str


class TextLink(Record):
    """A piece of a reply's text that leads to a page: from `start` to before `end`, in characters."""

    start: int
    end: int
    url: str


class Button(Record):
    """Something to press under a message: sends the command with these arguments."""

    label: str
    command: str
    arguments: dict[str, str] = {}
    style: Literal["plain", "primary", "danger"] = "plain"
    confirm: str = ""  # a question to ask first, for what cannot be undone
    group: str = ""  # of picks: those of one group stand in one row, or in one menu
    home: str = ""  # what it goes with, `jobs/<id>` or `subjects/<id>`, unless its arguments say so
    form: bool = False  # opens the command's form with these arguments filled in, instead of sending it


class Reply(Record):
    """What a message says now. A command yields these one after another; each takes the place of the one before."""

    text: str
    state: Literal["done", "working", "failed", "cancelled"] = "done"
    fault: Literal["", "input", "ours"] = ""  # of a failure without a job: bad input, or a surprise
    pictures: tuple[Picture, ...] = ()
    grid: Picture | None = None
    is_partial: bool = False  # the pictures are some of those that are drawn: they are not worth uploads of their own
    progress: Progress | None = None
    preview: int = 0  # number of the newest preview of what is being drawn, from 1; `storage.queue.previews` has it
    buttons: tuple[Button, ...] = ()
    picks: tuple[Button, ...] = ()  # what a chat offers that has no viewer of its own: single pictures, details
    question: bool = False  # to be answered with one of the buttons
    private: bool = False  # for nobody's eyes but the asker's
    job: str | None = None
    facts: dict[str, str] = {}  # name and value pairs: settings, metrics, details
    place: PlaceMention | None = None  # that the text or a fact speaks of
    is_markdown: bool = False  # whether the text has Markdown of its own: emphasis, lists, code
    links: tuple[TextLink, ...] = ()  # in the text, in their order
    rendered: str = ""  # the text as a chat's markup has it, or the part of it that one of several messages says

    @property
    def shown(self) -> tuple[Picture, ...]:
        """The pictures that a chat's message shows: the grid where there is one, of work that goes on the newest."""
        if self.is_partial:
            return ()
        if self.grid:
            return (self.grid,)
        return self.pictures[-SHOWN:] if self.state == "working" else self.pictures[:SHOWN]

    def with_place_name(self, text: str, name: str) -> str:
        """A text of the reply with a name in the place of the words that mean its place."""
        return text.replace(self.place.words, name) if self.place and name else text

    @property
    def loose(self) -> tuple[Button, ...]:
        """What can be pressed and belongs to no group, nor does the same as one of a group."""
        grouped = [(pick.command, pick.arguments) for pick in self.picks if pick.group]
        every = (*self.buttons, *(pick for pick in self.picks if not pick.group))
        return tuple(button for button in every if (button.command, button.arguments) not in grouped)

    @property
    def open_facts(self) -> dict[str, str]:
        """The facts that are shown at once: none where a button shows them, and no long lists."""
        in_details = any(pick.command == "details" for pick in self.picks)
        return {} if in_details else {name: value for name, value in self.facts.items() if "\n" not in value}


class Accepted(Reply):
    """Ends the answer to a request of which a job was accepted: what becomes of that is followed by its id."""

    text: str = "On it."
    state: Literal["done", "working", "failed", "cancelled"] = "working"
    job: str
