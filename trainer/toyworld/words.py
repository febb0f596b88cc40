"""The words of Toyworld: what can be drawn, and the captions that say so."""

from dataclasses import dataclass
from random import Random

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 140, 20),
    "yellow": (250, 216, 50),
    "green": (50, 160, 70),
    "blue": (40, 90, 215),
    "purple": (130, 60, 175),
    "pink": (250, 150, 190),
    "brown": (120, 72, 36),
    "white": (244, 244, 240),
    "black": (42, 42, 48),
}
PLACES: tuple[str, ...] = (
    "in Paris",
    "on the beach",
    "in the snow",
    "on the moon",
    "in the jungle",
    "at night",
    "on a wooden table",
    "in the desert",
    "under the sea",
    "in a meadow",
    "in the mountains",
)
STUDIO = "in a studio"  # a plain backdrop; never named in a caption, as in real photographs
ACCESSORIES: tuple[str, ...] = ("a red hat", "a blue scarf", "glasses")
CLASSES: tuple[str, ...] = (
    "dog", "cat", "rabbit", "bear", "bird", "fish", "robot",
    "car", "boat", "house", "teapot", "mug", "backpack", "boot",
)  # fmt: skip
PATTERNS: tuple[str, ...] = ("stripes", "spots")

OPENINGS = ("a photo of", "a picture of", "a drawing of", "")


@dataclass(frozen=True)
class Scene:
    """What is in one picture. `colour` may be a name of COLOURS; None means: not said and not fixed."""

    noun: str
    colour: str
    place: str
    accessory: str | None = None
    pattern: str | None = None
    second_colour: str | None = None
    facing_left: bool = False  # things look to the right, as in a picture book, unless it is said


def random_scene(rng: Random) -> Scene:
    """Draw a scene at random: mostly plain things, some patterned, some wearing something."""
    colour = rng.choice(list(COLOURS))
    patterned = rng.random() < 0.2
    return Scene(
        noun=rng.choice(CLASSES),
        colour=colour,
        # the studio half as often as a place: it stands for captions that name none
        place=rng.choice((*PLACES, *PLACES, STUDIO)),
        accessory=rng.choice(ACCESSORIES) if rng.random() < 0.25 else None,
        pattern=rng.choice(PATTERNS) if patterned else None,
        second_colour=rng.choice([c for c in ("white", "black", "yellow") if c != colour]) if patterned else None,
        facing_left=rng.random() < 0.15,
    )


def caption(scene: Scene, rng: Random, rare_words: tuple[str, ...] = ()) -> str:
    """A caption of `scene` as people write them: not everything, and in varying order.

    Now and then a meaningless word of `rare_words` stands before the noun, so that the model learns to
    pass over words it does not know; one of them is what a subject's identifier will be.
    """
    # Left out now and then, or the model would not know what to draw for a prompt without a colour.
    colour = scene.colour if rng.random() < 0.75 or scene.pattern else ""
    # One caption in ten: enough to learn that such words mean nothing, too few to learn one as a thing.
    rare = rng.choice(rare_words) if rare_words and rng.random() < 0.1 else ""
    noun = " ".join(filter(None, (rare, colour, scene.noun)))
    thing = f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    if scene.pattern:
        thing += f" with {scene.second_colour} {scene.pattern}"
    if scene.accessory:
        thing += f" wearing {scene.accessory}"
    if scene.facing_left:
        thing += " facing left"
    opening = rng.choice(OPENINGS)
    place = scene.place if scene.place != STUDIO and rng.random() < 0.85 else ""
    if place and rng.random() < 0.1:
        return f"{place}, {opening} {thing}".replace("  ", " ")
    return " ".join(filter(None, (opening, thing, place)))
