"""Which photos are accepted, which are refused, and in what words."""

import io
import itertools
import random
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from bot.photos.prepare import fingerprint
from bot.photos.vetting import near_duplicates
from research.toyworld.scenes import character
from tests.support.photo_files import (
    REAL_PHOTOS,
    judged,
    needs_real_photos,
    opened,
    png_chunks,
    png_of,
    reason,
    saved,
    scene,
)
from tests.support.quick import examples, slow_but
from trainer.toyworld.words import PLACES

KINDS = ("JPEG", "PNG", "WEBP", "HEIF", "GIF", "AVIF", "TIFF", "BMP")
WHOLE = {kind: saved(scene(), kind) for kind in KINDS}
WHOLE["progressive"] = saved(scene(), "JPEG", progressive=True)
NOT_PICTURES = {
    "empty": b"",
    "text": b"These are my photos, I promise.",
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "pdf": b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n%%EOF",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>',
    "video": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41",
    "zeros": bytes(4096),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
}
HEADS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF1234WEBP", b"\x00\x00\x00\x18ftypheic"]

hurried = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@hurried
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF1234WEBP"])
)
def test_any_bytes_are_judged(tail: bytes, head: bytes) -> None:
    vetting = judged(head + tail)
    assert len(vetting.accepted) + len(vetting.refused) == 1
    assert vetting.summary.endswith(".")


@hurried
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_judged(kind: str, share: float) -> None:
    whole = WHOLE[kind]
    vetting = judged(whole[: int(share * len(whole))])
    if share < 0.9:
        assert vetting.refused[0].reason.startswith(("is damaged or incomplete", "is not a picture"))


@hurried
@given(
    st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_any_corruption_is_judged(kind: str, changes: list[tuple[float, int]]) -> None:
    broken = bytearray(WHOLE[kind])
    for place, value in changes:
        broken[int(place * (len(broken) - 1))] = value
    vetting = judged(bytes(broken))
    assert len(vetting.accepted) + len(vetting.refused) == 1


@hurried
@given(
    st.sampled_from(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16"]),
    st.integers(1, 260),
    st.integers(1, 260),
)
def test_any_mode_and_size_is_judged(mode: str, width: int, height: int) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(scene(width, height).convert("L")).astype(np.uint16) * 257)
    else:
        picture = scene(width, height).convert("L" if mode == "LA" else "P" if mode == "PA" else "RGB").convert(mode)
    file = saved(picture, "JPEG" if mode == "CMYK" else "WEBP" if mode == "PA" else "PNG")
    if min(width, height) < 64:
        assert reason(file) == f"is too small: {width}×{height} pixels, where the short side needs 64"
    else:
        square = opened(file)
        assert square.mode == "RGB"
        assert square.size == (min(width, height, 128),) * 2


@pytest.mark.parametrize("kind", NOT_PICTURES)
def test_what_is_not_a_picture(kind: str) -> None:
    assert reason(NOT_PICTURES[kind]).startswith("is not a picture")


@pytest.mark.parametrize("kind", WHOLE)
def test_a_photo_cut_short_is_damaged(kind: str) -> None:
    assert reason(WHOLE[kind][: len(WHOLE[kind]) // 2]) == "is damaged or incomplete"


def test_decompression_bombs_are_refused_by_their_header() -> None:
    png = png_chunks(WHOLE["PNG"])
    huge = struct.pack(">II", 30_000, 30_000) + png[0][1][8:]
    no_pixels = png_of([(b"IHDR", huge), (b"IDAT", b""), (b"IEND", b"")])
    assert len(no_pixels) < 100
    assert reason(no_pixels) == "has too many pixels: 30000×30000, where 64 million is the limit"

    jpeg = bytearray(WHOLE["JPEG"])
    sizes = jpeg.index(b"\xff\xc0") + 5
    jpeg[sizes : sizes + 4] = b"\xff\xff\xff\xff"
    assert reason(bytes(jpeg)).startswith("has too many pixels: 65535×65535")

    gif = bytearray(WHOLE["GIF"])
    frame = gif.index(b"\x2c\0\0\0\0") + 5  # one frame larger than the screen that the header announces
    gif[frame : frame + 4] = b"\xff\xff\xff\xff"
    assert reason(bytes(gif)).startswith("has too many pixels: 65535×65535")

    heic = bytearray(WHOLE["HEIF"])
    sizes = heic.index(b"ispe") + 8
    heic[sizes : sizes + 8] = struct.pack(">II", 30_000, 30_000)
    assert reason(bytes(heic)).startswith("has too many pixels: 30000×30000")


def test_a_heic_that_lies_about_its_size_is_damaged() -> None:
    large = saved(scene(1000, 800), "HEIF")
    lie = large.replace(struct.pack(">II", 1000, 800), struct.pack(">II", 100, 80))
    assert lie != large
    assert reason(lie) == "is damaged or incomplete"


def test_the_pixel_limit_is_a_setting() -> None:
    assert reason(WHOLE["PNG"], photo_max_pixels=96 * 96 - 1).startswith("has too many pixels: 96×96")
    assert judged(WHOLE["PNG"], photo_max_pixels=96 * 96).accepted


def test_the_byte_limit_is_a_setting() -> None:
    file = WHOLE["PNG"] + bytes(2**21)
    assert reason(file, photo_max_bytes=2**20).startswith("is too large: 2.0")
    assert reason(file, photo_max_bytes=2**20).endswith(" MB, where 1 MB is the limit")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused_and_single_frames_are_not(kind: str) -> None:
    frames = [scene(seed=n) for n in range(3)]
    moving = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert reason(moving) == "is animated, and only still pictures can be used"
    assert judged(WHOLE[kind]).accepted


def test_several_pictures_in_a_jpeg_or_heic_are_no_animation() -> None:
    for kind in ("MPO", "HEIF"):
        assert judged(saved(scene(seed=1), kind, save_all=True, append_images=[scene(seed=2)])).accepted


def test_the_least_size_is_that_of_the_base_model() -> None:
    assert judged(saved(scene(64, 200))).accepted
    assert reason(saved(scene(63, 200))).startswith("is too small: 63×200")
    real = {"base_models": "somewhere/sd15"}
    assert reason(saved(scene(255, 300)), **real).endswith("the short side needs 256")
    assert opened(saved(scene(256, 300)), **real).size == (256, 256)
    assert opened(saved(scene(1100, 1200)), **real).size == (1024, 1024)  # SDXL learns from so many


# ---- near-duplicates


def brightened(picture: Image.Image, by: float) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(by)


def cropped(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((int(left * width), int(top * height), int(right * width), int(bottom * height)))


def recompressed(picture: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(saved(picture, "JPEG", quality=30)))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "same": lambda p: p,
    "recompressed": recompressed,
    "half the size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "darker": lambda p: brightened(p, 0.75),
    "brighter": lambda p: brightened(p, 1.2),
    "cropped all round": lambda p: cropped(p, 0.025, 0.025, 0.975, 0.975),
    "cropped at a corner": lambda p: cropped(p, 0.05, 0, 1, 0.95),
    "all at once": lambda p: recompressed(brightened(cropped(p, 0.01, 0.04, 0.96, 0.99), 1.1).resize((200, 200))),
}


@pytest.fixture(scope="module")
def drawings() -> list[tuple[Image.Image, tuple[int, ...]]]:
    """Some characters, and their fingerprints."""
    pictures = (character(seed).photo(random.Random(seed), size_px=256) for seed in range(6))
    return [(picture, fingerprint(picture)) for picture in pictures]


@pytest.mark.parametrize("how", slow_but(COPIES, "half the size", "all at once"))
def test_copies_of_a_drawing_are_near_duplicates(how: str, drawings: list[tuple[Image.Image, tuple[int, ...]]]) -> None:
    for seed, (drawing, its) in enumerate(drawings):
        assert near_duplicates(its, fingerprint(COPIES[how](drawing))), seed


def test_a_character_in_different_places_is_no_duplicate() -> None:
    for seed in range(12):
        chance, who = random.Random(seed), character(seed)
        prints = [fingerprint(who.photo(chance, place=place)) for place in chance.sample(list(PLACES), 4)]
        assert not any(near_duplicates(a, b) for a, b in itertools.combinations(prints, 2)), seed


@needs_real_photos
def test_real_photos_of_a_subject_are_different_and_their_copies_are_not() -> None:
    for folder in sorted(p for p in REAL_PHOTOS.iterdir() if p.is_dir()):
        photos = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]
        prints = [fingerprint(p) for p in photos]
        assert not any(near_duplicates(a, b) for a, b in itertools.combinations(prints, 2)), folder.name
        for how, copy in COPIES.items():
            assert near_duplicates(prints[0], fingerprint(copy(photos[0]))), (folder.name, how)


def test_a_duplicate_names_the_first_of_its_kind_and_only_accepted_ones_count() -> None:
    first, other = saved(scene(seed=1)), saved(scene(seed=2), "JPEG")
    small_copy = saved(scene(40, 40, seed=1))
    vetting = judged(
        small_copy, first, other, saved(scene(seed=1), "WEBP"), names=("s.png", "a.png", "b.jpg", "c.webp")
    )
    assert [p.name for p in vetting.accepted] == ["a.png", "b.jpg"]
    assert [r.name for r in vetting.refused] == ["s.png", "c.webp"]
    assert vetting.refused[1].reason == "is a near-duplicate of a.png"


# ---- what is said


def test_the_summary_when_all_are_fine() -> None:
    assert judged(*(saved(scene(seed=n)) for n in range(6))).summary == "6 photos used."
    assert judged(saved(scene())).summary == "1 photo used."


def test_the_summary_names_each_that_was_refused() -> None:
    files = [saved(scene(seed=n), "JPEG") for n in (1, 2, 1)]
    names = ("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "notes.jpg")
    assert judged(*files, names=names[:3]).summary == "2 of 3 photos used; IMG_3.jpg is a near-duplicate of IMG_1.jpg."
    assert judged(*files, b"Dear diary", names=names).summary == (
        "2 of 4 photos used; IMG_3.jpg is a near-duplicate of IMG_1.jpg; "
        "notes.jpg is not a picture but text: send JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF."
    )


def test_the_summary_when_none_is_fine() -> None:
    assert judged(b"", names=("a.jpg",)).summary == "No photo could be used; a.jpg is not a picture: the file is empty."


def test_photos_of_one_name_can_be_told_apart() -> None:
    same = saved(scene())
    vetting = judged(same, same, names=("image.png", "image.png"))
    assert vetting.summary == "1 of 2 photos used; image.png (photo 2) is a near-duplicate of image.png (photo 1)."


def test_odd_names_become_short_and_stay_on_one_line() -> None:
    names = ("", "two\nlines.png", "x" * 500 + ".png")
    refused = judged(b"1", b"2", b"3", names=names).refused
    assert [r.name for r in refused[:2]] == ["a photo", "two lines.png"]
    assert refused[2].name == "x" * 56 + ".png"
