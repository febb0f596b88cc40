"""Prompts of subjects that are drawn from their photos: what the model reads, and who may be in one."""

import pytest

from bot.arguments.prompts import find_subjects, from_photos, photo_prompt
from storage.contract.subjects import Photo, Subject
from storage.errors import UserError

PHOTO = Photo(key="subjects/1/photos/a.png", sha256="a", name="rex.png", side_px=64)


def subject(name: str = "rex", **more: object) -> Subject:
    usual = {"space": "s", "owner": "you", "name": name, "noun": "dog", "base_model": "b", "photos": (PHOTO,)}
    return Subject.model_validate({"references": 4, **usual, **more})


@pytest.mark.parametrize(
    ("prompt", "noun", "read"),
    [
        ("a [rex] dog in Paris", "dog", "the dog from the reference photos in Paris"),
        ("[Rex] in Paris", "dog", "the dog from the reference photos in Paris"),
        ("my [rex] Dog's friend", "dog", "the dog from the reference photos's friend"),
        ("in Paris: an [V] puppies, asleep", "puppy", "in Paris: the puppy from the reference photos, asleep"),
        (
            "a [rex] coffee mug on the coffee table",
            "coffee mug",
            "the coffee mug from the reference photos on the coffee table",
        ),
        (
            "panda [rex] beside [rex]",
            "dog",
            "panda the dog from the reference photos beside the dog from the reference photos",
        ),
    ],
)
def test_a_name_is_read_as_what_the_photos_show(prompt: str, noun: str, read: str) -> None:
    named = find_subjects(prompt, [subject(noun=noun)], "you", None)
    assert from_photos(named) and photo_prompt(prompt, named) == read


def test_it_can_be_drawn_while_it_is_learned_and_if_that_fails() -> None:
    for state in ("learning", "failed"):
        assert from_photos(find_subjects("a [V] dog", [subject(state=state)], "you", None))
        with pytest.raises(UserError, match=r"not ready yet|could not be learned"):
            find_subjects("a [rex] dog", [subject(state=state, references=0)], "you", None)
    with pytest.raises(UserError, match="newer version"):
        find_subjects("a [rex] dog", [subject(state="dreaming")], "you", None)


def test_only_what_is_learned_can_be_in_a_picture_with_others() -> None:
    learned = {"state": "ready", "method": "lora", "identifier": "zuf", "weights_sha256": "a"}
    other = subject("mia", **{**learned, "identifier": "kra", "weights_sha256": "b"})
    with pytest.raises(UserError, match="rex is not learned yet: until then a prompt can have one alone"):
        find_subjects("[rex] and [mia]", [subject(), other], "you", None)
    both = find_subjects("[rex] and [mia]", [subject(**learned, drawn_from="photos"), other], "you", None)
    assert len(both) == 2 and not from_photos(both)
