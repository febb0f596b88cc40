"""Kinds of things and names as people write them: articles, plurals, scripts, and what cannot be seen."""

import hashlib
import logging
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.arguments.arguments import ImagineArguments, TrainArguments
from bot.arguments.prompts import find_subjects, model_prompt
from bot.connectors.discord.slash_commands import help_reply as discord_help
from bot.connectors.slack.slash_commands import help_reply as slack_help
from bot.connectors.terminal.screen import CommandResult, print_result
from bot.photos.uploads import Upload
from storage.contract.recipe import Recipe
from storage.contract.subjects import Subject, name_key
from storage.logs import log_to
from storage.nouns import bare, class_prompt, folded, singular, with_article
from storage.text import clean, fold, one_line, visible
from trainer.dreambooth.prompts import captioned, class_set_key, prompt_pairs

AN = (
    "hour glass|hourglass|MRI scanner|mri scanner|8-ball|80s car|18-wheeler|11-year-old|umbrella|owl|SUV|"
    "X-ray|LED lamp|yttrium rod|unidentified dog|honest dog|heirloom|uninvited guest|F1 car|iPhone|elk|ATM|"
    "urn|über-dog|NPC|RV|IKEA chair|onion|S-bend|Xbox|HDMI cable"
)
A = (
    "dog|unicorn|European hedgehog|one-eyed cat|uniform|UFO|USB stick|LEGO figure|NASA rocket|T-shirt|U-boat|"
    "ukulele|Utah dog|ufologist|unanimous jury|unidirectional arrow|RAM stick|euro|ewe|yo-yo|union|utensil|"
    "9-ball|180 cm dog|TV|eucalyptus|house|Ugandan flag|once-over|user|hen|कुत्ता"
)


@pytest.mark.parametrize("phrase", AN.split("|"))
def test_an_before_the_sound_of_a_vowel(phrase: str) -> None:
    assert with_article(phrase) == f"an {phrase}"


@pytest.mark.parametrize("phrase", A.split("|"))
def test_a_before_all_others(phrase: str) -> None:
    assert with_article(phrase) == f"a {phrase}"


@pytest.mark.parametrize(
    "plural",
    "dogs/dog puppies/puppy boxes/box mice/mouse wolves/wolf children/child houses/house buses/bus "
    "horses/horse shoes/shoe tomatoes/tomato movies/movie corgis/corgi huskies/husky teddies/teddy "
    "geese/goose toys/toy skis/ski cacti/cactus dresses/dress lenses/lens people/person bus/bus "
    "glass/glass glasses/glasses scissors/scissors cactus/cactus iris/iris tortoise/tortoise dog/dog "
    "series/series Dogs/Dog DOGS/DOG triceratops/triceratops mantis/mantis Mercedes/Mercedes thermos/thermos "
    "snowmen/snowman grandchildren/grandchild werewolves/werewolf midwives/midwife specimen/specimen olives/olive "
    "Porsches/Porsche Frenchies/Frenchie beanies/beanie Barbies/Barbie TVs/TV".split(),
)
def test_singulars(plural: str) -> None:
    several, one = plural.split("/")
    assert singular(several) == one


@pytest.mark.parametrize(
    "said",
    "pairs of shoes/pair of shoes|a pair of shoes/pair of shoes|birds of prey/bird of prey|"
    "my dogs with hats/dog with hats|two mothers in law/mother in law|dog with spots/dog with spots".split("|"),
)
def test_the_noun_stands_before_of_and_with(said: str) -> None:
    several, one = said.split("/")
    assert bare(several) == one


def trained(noun: str) -> TrainArguments:
    return TrainArguments.model_validate({"name": "rex", "class": noun})


DOGS = [
    "Dog",
    "dogs",
    "a dog",
    "my dog",
    "the Dogs",
    "Anna's dog",
    "  DOG ",
    "our  dog",
    "all my dogs",
    "one of our dogs",
]
DOGS += ["our two dogs", "3 dogs", "ANNA'S DOG", "my own dog", "another dog", "Dog.", "“dog”", "dog!"]


@pytest.mark.parametrize("said", DOGS)
def test_one_class_set_for_all_ways_to_say_dog(said: str) -> None:
    noun = trained(said).noun
    assert noun.lower() == "dog"
    assert class_prompt(noun) == "a photo of a dog"
    assert class_set_key("base", noun, Recipe()) == class_set_key("base", "dog", Recipe())


def test_prompts_have_one_article_and_one_noun() -> None:
    subject = Subject(
        space="s", owner="u", name="rex", noun=trained("a dog").noun, base_model="toyworld", state="ready",
        identifier="zuf",
    )  # fmt: skip
    named = find_subjects("a [rex] in Paris", [subject], "u", None)
    assert model_prompt("a [rex] in Paris", named) == "a zuf dog in Paris"
    assert model_prompt("a [rex] dog in Paris", named) == "a zuf dog in Paris"
    assert prompt_pairs("zuf", trained("hour glass").noun, 2)[1] == ("a zuf hour glass", "an hour glass")
    assert class_prompt("unicorn") == "a photo of a unicorn"
    assert captioned("a photo of zuf dog", "dog", "Hotdogs") == "a photo of zuf dog Hotdogs"


@pytest.mark.parametrize("said", ["a", "the", "", "  ", "123", "-", "<b>", "dog; rm", "x" * 41])
def test_what_is_no_kind_of_thing(said: str) -> None:
    with pytest.raises(ValidationError):
        trained(said)


# ---- names

NAMES = [
    "रेक्स",
    "मोती",
    "ไอ้หนู",
    "مُحَمَّد",
    "ムク",
    "Müller",
    "Mu\u0308ller",
    "O’Neil",
    "O'Neil",
    "R2-D2",
    "小白",
    "Žižka",
    "می‌خ",
    "བཀྲ་ཤིས",
    "Gal·la",
    "ז׳וז׳ו",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
def test_names_of_all_scripts_are_found_in_any_normalisation(name: str, form: str) -> None:
    given = TrainArguments.model_validate({"name": unicodedata.normalize(form, name), "class": "कुत्ता"})  # type: ignore[arg-type]
    assert given.name == unicodedata.normalize("NFC", given.name)
    subject = Subject(
        space="s", owner="u", name=given.name, noun=given.noun, base_model="toyworld", state="ready", identifier="zuf"
    )
    for other in ("NFC", "NFD"):
        written = unicodedata.normalize(other, name).upper()  # type: ignore[arg-type]
        prompt = ImagineArguments(prompt=f"a [{written}] कुत्ता in Paris").prompt
        named = find_subjects(prompt, [subject], "u", None)
        assert model_prompt(prompt, named) == "a zuf कुत्ता in Paris"
        assert name_key("s", written) == name_key("s", given.name)


def test_keys_of_plain_names_are_as_they_were() -> None:
    digest = hashlib.sha256(b"local\nrex").hexdigest()
    assert name_key("local", "Rex").endswith(f"/{digest[:40]}")


@pytest.mark.parametrize("name", ["", "---", "’", "a b", "a/b", "rex!", "🐶", "a" * 33, "V", "v", "--count"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError):
        TrainArguments.model_validate({"name": name, "class": "dog"})


def test_a_hyphen_is_one_however_a_phone_writes_it() -> None:
    for hyphen in "\u2010\u2011":
        arguments = TrainArguments.model_validate({"name": f"R2{hyphen}D2", "class": f"T{hyphen}Rex"})
        assert (arguments.name, arguments.noun) == ("R2-D2", "T-Rex")
        assert name_key("s", f"r2{hyphen}d2") == name_key("s", "R2-D2")


# ---- what cannot be seen

CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x07"
HIDDEN = [CLIPBOARD, "\u202e", "\u2066", "\x1b[2J", "\x9b31m", "\x00", "\x07", "\u200b", "\ufeff", "\x1bP0;1|x\x1b\\"]
HIDDEN += [
    "\u034f",
    "\u3164",
    "\u115f\u1160",
    "\uffa0",
    "\u180b",
    "\U000e0100",
    "\ufe00",
    "\u061c",
    "\u200f",
]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_it_is_removed_at_the_door(hidden: str) -> None:
    assert ImagineArguments(prompt=f"a {hidden}dog").prompt == "a dog"
    assert ImagineArguments(prompt="a dog", negative=f"a{hidden} cat").negative == "a cat"
    assert TrainArguments.model_validate({"name": f"re{hidden}x", "class": f"d{hidden}og"}).name == "rex"
    assert Upload(name=f"IMG{hidden}_1.jpg").name == "IMG_1.jpg"


@pytest.mark.parametrize("hidden", HIDDEN)
def test_it_is_removed_where_it_is_printed(hidden: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        print_result(CommandResult(state="done", message=f"re{hidden}x", table={"a": f"b{hidden}c"}), as_json, 0)
    printed = capsys.readouterr().out
    assert "rex" in printed and hidden not in printed and "\x1b" not in printed


def test_a_log_is_one_line_a_record(tmp_path: Path) -> None:
    root, file = logging.getLogger(), tmp_path / "log"
    before, root.handlers = root.handlers, []
    try:
        log_to(file, logging.WARNING, "%(name)s %(message)s")
        logging.getLogger("x").warning("job %s", f"one{CLIPBOARD}\nroot forged")
        try:
            raise ValueError(f"oh{CLIPBOARD}")
        except ValueError:
            logging.getLogger("x").exception("surprise")
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = before
    text = file.read_text()
    assert text.startswith("x job one\\nroot forged\nx surprise\nTraceback")
    assert "\x1b" not in text and "\x07" not in text and "]52" not in text


@given(st.text())
def test_clean_text_stays_clean(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert one_line(text) == one_line(one_line(text))
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in clean(text))
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b") & set(visible(text))
    assert fold(fold(text)) == fold(text)
    bare(text), folded(text), with_article(text)  # takes anything


@pytest.mark.parametrize("name", ["rex\ufe0f", "re\ufe0ex", "r\u034fex", "rex\u3164", "\ufe0frex", "rex\ufe0f\u200d"])
def test_a_name_is_no_other_by_what_cannot_be_seen(name: str) -> None:
    assert TrainArguments.model_validate({"name": name, "class": "dog"}).name == "rex"


@pytest.mark.parametrize("name", ["\u3164", "\u115f\u1160", "\uffa0", "\u034f", "\ufe0f", "\u200d", "\u200f"])
def test_a_name_that_cannot_be_seen_is_none(name: str) -> None:
    with pytest.raises(ValidationError):
        TrainArguments.model_validate({"name": name, "class": "dog"})
    with pytest.raises(ValidationError):
        TrainArguments.model_validate({"name": "rex", "class": name})


@pytest.mark.parametrize("text", ["❤️ ©️ ☺︎", "1️⃣ #️⃣", "❤️\u200d🔥", "👍🏽", "می\u200cخواهم"])
def test_styles_of_emoji_stay(text: str) -> None:
    assert clean(text) == text


def test_what_was_hidden_between_letters_does_not_part_them() -> None:
    assert clean("Zoe\u200b\u0308") == "Zoë"
    assert clean("a\ufe0f\u200dя") == "aя"


def test_emoji_of_several_parts_and_persian_stay_whole() -> None:
    assert clean("👩‍🚀 می‌خواهم 🏳️‍🌈") == "👩‍🚀 می‌خواهم 🏳️‍🌈"


def test_the_help_says_what_prompts_do_not_understand_and_which_photos_are_taken() -> None:
    for reply in (discord_help(), slack_help()):
        assert "(word:1.3), BREAK and wildcards are not understood yet" in reply.text
        assert "JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF" in reply.text
