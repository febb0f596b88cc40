"""What people type: lines into commands, text into arguments, brackets into subjects."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.arguments.arguments import ImagineArguments, ShareArguments, TrainArguments
from bot.arguments.parser import parse, split_command
from bot.arguments.prompts import find_subjects, model_prompt
from bot.arguments.validation import check
from bot.commands.registry import COMMANDS
from storage.contract.subjects import Subject
from storage.errors import UserError

WORDS = st.text(string.ascii_letters + "äß🐕[]'\"!,", min_size=1, max_size=12).filter(lambda w: not w.startswith("--"))
PROMPTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


def subject(name: str, owner: str = "you", state: str = "ready", noun: str = "dog") -> Subject:
    return Subject.model_validate(
        {
            "space": "s",
            "owner": owner,
            "name": name,
            "noun": noun,
            "base_model": "b",
            "state": state,
            "identifier": "zuf",
        }
    )


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("/imagine a dog", "imagine", "a dog"),
        ("  /IMAGINE   a  dog ", "imagine", "a  dog"),
        ("/dreambooth train rex dog", "dreambooth train", "rex dog"),
        ("dreambooth  list", "dreambooth list", ""),
    ],
)
def test_a_line_names_a_command(line: str, name: str, rest: str) -> None:
    assert split_command(line, COMMANDS) == (name, rest)


@pytest.mark.parametrize("line", ["", "/", "/nonsense", "hello there", "/dreambooth", "/dreambooth fly"])
def test_a_line_that_names_none_is_refused(line: str) -> None:
    with pytest.raises(UserError, match="There is no command"):
        split_command(line, COMMANDS)


@given(st.text(max_size=200))
def test_any_line_is_a_command_or_refused(line: str) -> None:
    try:
        name, rest = split_command(line, COMMANDS)
        parse(rest, COMMANDS[name].arguments)
    except UserError as error:
        assert str(error)


@given(PROMPTS, st.integers(1, 16), st.integers(0, 2**32 - 1), PROMPTS)
def test_a_prompt_with_options_reads_back(prompt: str, count: int, seed: int, negative: str) -> None:
    line = f"{prompt} --count {count} --seed={seed} --negative {negative}"
    arguments = check(ImagineArguments, parse(line, ImagineArguments))
    assert isinstance(arguments, ImagineArguments)
    assert (arguments.prompt, arguments.count, arguments.seed) == (prompt, count, seed)
    assert arguments.negative == negative


@pytest.mark.parametrize("dash", ["—", "–"])
def test_two_hyphens_that_a_phone_made_a_dash_of(dash: str) -> None:
    given = parse(f"a dog {dash} asleep {dash}count 2 {dash}seed=7", ImagineArguments)
    assert given == {"prompt": f"a dog {dash} asleep", "count": "2", "seed": "7"}


def test_the_last_required_argument_takes_all_that_is_left() -> None:
    assert parse("rex coffee mug --steps 20", TrainArguments) == {"name": "rex", "class": "coffee mug", "steps": "20"}


@pytest.mark.parametrize(
    ("rest", "given"),
    [
        ("rex private", {"with": "private"}),
        ("rex Space", {"with": "Space"}),
        ("rex S0PETS", {"group": "S0PETS"}),
        ("rex @pets", {"group": "@pets"}),
        ("rex 4711 --with channel", {"group": "4711", "with": "channel"}),
        ("rex --with private", {"with": "private"}),
        ("rex", {}),
    ],
)
def test_with_whom_to_share_needs_no_name(rest: str, given: dict[str, str]) -> None:
    assert parse(rest, ShareArguments) == {"name": "rex", **given}


def test_words_that_are_too_many_are_not_swallowed() -> None:
    with pytest.raises(UserError, match="I do not know what to do with “please”"):
        parse("rex private 4711 please", ShareArguments)
    with pytest.raises(UserError, match="privte is not a group"):
        check(ShareArguments, parse("rex privte", ShareArguments))
    assert check(ShareArguments, parse("rex SPACE", ShareArguments)).model_dump()["audience"] == "space"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "a/b", "class": "dog"}, "A name is made of letters, digits, - and _ only."),
        ({"name": "🐕", "class": "dog"}, "A name is made of letters, digits, - and _ only."),
        ({"name": "x" * 300, "class": "dog"}, "A name has at most 32 characters, this one has 300."),
        ({"name": "rex", "class": " "}, "Say what kind of thing it is"),
        ({"name": "rex"}, "Please give a class"),
        ({"name": "V", "class": "dog"}, "no subject can be called V"),
        ({"name": "rex", "class": "dog", "steps": "100000"}, "Steps must be at most 4,000, not 100000."),
        ({"name": "rex", "class": "dog", "seed": str(2**70)}, "Seed must be at most 4,294,967,295"),
        ({"name": "rex", "class": "dog", "speed": "1"}, "There is no option speed here."),
    ],
)
def test_bad_training_arguments_have_a_sentence_each(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=r"\w") as refused:
        check(TrainArguments, values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"prompt": "x" * 10_000}, "A prompt has at most 1000 characters, this one has 10,000."),
        ({"prompt": "  "}, "Say what the picture should show"),
        ({"prompt": "a dog", "count": "0"}, "Count must be at least 1, not 0."),
        ({"prompt": "a dog", "count": "many"}, "Count must be a whole number, not many."),
        ({"prompt": "a dog", "guidance": "strong"}, "Guidance must be a number, not strong."),
        ({"prompt": "a dog", "scheduler": "magic"}, "Scheduler must be"),
    ],
)
def test_bad_imagine_arguments_have_a_sentence_each(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=r"\w") as refused:
        check(ImagineArguments, values)
    assert sentence in str(refused.value)


# ── subjects in prompts ───────────────────────────────────────────────────────────────────────────────────────────


def test_v_is_the_one_given_else_the_newest_of_the_person() -> None:
    known = [subject("theirs", owner="somebody"), subject("new"), subject("old")]
    assert find_subjects("a [V] dog", known, "you", None) == {"v": known[1]}
    assert find_subjects("a [v] dog", known, "you", "old") == {"v": known[2]}
    assert find_subjects("a [THEIRS] dog", known, "you", None) == {"theirs": known[0]}
    assert find_subjects("a dog", known, "you", None) == {}


@pytest.mark.parametrize(
    ("prompt", "given", "sentence"),
    [
        ("a [rax] dog", None, "There is no subject called rax. Did you mean rex?"),
        ("[rex]", None, "Say more than [rex]"),
        ("[V]", None, "Say more than [rex]"),
        (" [V] . ", None, "Say more than [rex]"),
        ("a dog", "rex", "write [V] or [rex]"),
        ("a [kit] dog", None, "kit is not ready yet."),
    ],
)
def test_prompts_that_cannot_be_drawn(prompt: str, given: str | None, sentence: str) -> None:
    known = [subject("rex"), subject("mia"), subject("kit", state="learning")]
    with pytest.raises(UserError) as refused:
        find_subjects(prompt, known, "you", given)
    assert sentence in str(refused.value)


def test_v_without_a_subject_says_how_to_make_one() -> None:
    with pytest.raises(UserError, match="/dreambooth train"):
        find_subjects("a [V] dog in Paris", [], "you", None)


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("a [rex] dog in Paris", "a zuf dog in Paris"),
        ("a [rex] Dog in Paris", "a zuf Dog in Paris"),
        ("[rex] on the moon", "zuf dog on the moon"),
        ("a [V] doghouse", "a zuf dog doghouse"),
        ("two [rex] dogs, in Paris", "two zuf dogs, in Paris"),
        ("a [rex] dog's bowl", "a zuf dog's bowl"),
    ],
)
def test_the_model_reads_the_identifier_with_its_class(prompt: str, read: str) -> None:
    assert model_prompt(prompt, {"rex": subject("rex"), "v": subject("rex")}) == read


@given(PROMPTS)
def test_a_prompt_without_a_subject_is_read_as_it_is(prompt: str) -> None:
    assert model_prompt(prompt, {}) == prompt
