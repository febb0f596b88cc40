"""The class set and the identifier of a subject."""

from pathlib import Path

import pytest
import torch

from storage.errors import UserError
from tests.support.trainings import recipe
from trainer.dreambooth import class_images
from trainer.dreambooth.class_set_file import is_whole
from trainer.models.base import BaseModel
from trainer.models.rare_tokens import POOL, choose, meaningless
from trainer.steps import run_to_end


def test_a_class_set_is_the_same_each_time(base: BaseModel, tmp_path: Path) -> None:
    how = recipe(base, class_images=3, class_steps=2)
    for name in "ab":
        run_to_end(class_images.draw_class_set(base, "dog", how, tmp_path / name))
    assert class_images.read_class_set(tmp_path / "a").shape == (3, 4, 16, 16)
    whole = (tmp_path / "a").read_bytes()
    assert whole == (tmp_path / "b").read_bytes() and is_whole(tmp_path / "a")
    for torn in (b"", b"{", whole[:-1], whole[:9], whole[:-1] + bytes([whole[-1] ^ 1]), b"\xff" * 64):
        (tmp_path / "b").write_bytes(torn)
        assert not is_whole(tmp_path / "b")
    assert not is_whole(tmp_path / "c")


def test_words_that_mean_something_are_no_identifiers() -> None:
    words, generator = [f"w{k}" for k in range(20)], torch.Generator().manual_seed(0)
    readings = torch.randn(20, 8, generator=generator)
    readings[[3, 11]] += 20
    assert meaningless(words, readings) == [word for word in words if word not in ("w3", "w11")]


def test_an_identifier_is_one_rare_token_of_its_own(base: BaseModel) -> None:
    words = base.rare_words
    assert POOL < len(words) == len(set(words)) <= len(base.short_words())
    assert "sks" not in words
    assert all(len(base.tokenizer.tokenize(w)) == 1 for w in words)
    chosen = choose(base.rare_words, "subject-1")
    assert chosen == choose(base.rare_words, "subject-1") != choose(base.rare_words, "subject-1", taken={chosen})
    assert chosen in words[:POOL] and choose(base.rare_words, "subject-1", taken=words[:POOL]) in words[POOL:]
    with pytest.raises(UserError, match="no word is left"):
        choose(base.rare_words, "subject-1", taken=words)
