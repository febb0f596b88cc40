"""What accepted photos look like: upright, true in colour, cut around the subject, and without metadata."""

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageDraw
from PIL.PngImagePlugin import PngInfo

from bot.photos.crop import subject_square
from bot.photos.decode import TURNS, decode, open_photo
from tests.support.photo_files import accepted, opened, png_chunks, saved, scene
from tests.support.quick import examples

RED, GREEN, BLUE, WHITE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
UNDO = {  # what turns an upright picture into one that needs the orientation
    **TURNS,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def near(colour: object, wanted: tuple[int, ...], tolerance: int = 12) -> bool:
    return bool(np.abs(np.subtract(colour, wanted)).max() <= tolerance)  # type: ignore[arg-type]


def corners(picture: Image.Image) -> list[object]:
    low, high = picture.width // 8, picture.width * 7 // 8
    return [picture.getpixel(at) for at in ((low, low), (high, low), (low, high), (high, high))]


def four_corners() -> Image.Image:
    picture = Image.new("RGB", (128, 128), RED)
    for box, colour in (((64, 0), GREEN), ((0, 64), BLUE), ((64, 64), WHITE)):
        picture.paste(colour, (*box, box[0] + 64, box[1] + 64))
    return picture


# ---- upright


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    sideways = four_corners().transpose(UNDO[orientation]) if orientation > 1 else four_corners()
    options = {} if kind == "PNG" else {"quality": 95}
    square = opened(saved(sideways, kind, exif=exif.tobytes(), **options))
    assert all(map(near, corners(square), (RED, GREEN, BLUE, WHITE), [40] * 4))


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_a_senseless_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert near(corners(opened(saved(four_corners(), exif=exif)))[0], RED)


# ---- colours


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.tile(np.linspace(0, 65535, 128).astype(np.uint16), (128, 1))
    assert Image.open(io.BytesIO(saved(Image.fromarray(ramp)))).mode == "I;16"
    row = np.asarray(opened(saved(Image.fromarray(ramp))))[64, :, 0].astype(int)
    assert np.abs(row - np.linspace(0, 255, 128)).max() <= 2


def test_grey_stays_grey() -> None:
    for mode in ("L", "LA", "1"):
        square = np.asarray(opened(saved(scene().convert("L").convert(mode))))
        assert (square == square[..., :1]).all()


def test_transparency_becomes_the_neutral_colour() -> None:
    clear = Image.new("RGBA", (96, 96), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 48, 96))
    for file in (saved(clear), saved(clear, "WEBP", lossless=True), saved(clear.quantize(4))):
        square = opened(file)
        assert near(square.getpixel((10, 48)), (*BLUE, 255))
        assert near(square.getpixel((85, 48)), (*GREY, 0))


def test_a_colour_that_stands_for_transparency_becomes_the_neutral_colour() -> None:
    for mode, clear in (("RGB", (255, 0, 0)), ("L", 200)):
        picture = Image.new(mode, (96, 96), clear)
        assert near(opened(saved(picture, transparency=clear)).getpixel((48, 48)), (*GREY, 0))


def test_cmyk_as_adobe_inverts_it() -> None:
    file = saved(Image.new("CMYK", (96, 96), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in file
    assert near(opened(file).getpixel((48, 48)), RED)


def test_colours_are_converted_by_the_profile() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    picture = Image.new("RGB", (96, 96), RED)
    assert near(opened(saved(picture, icc_profile=srgb)).getpixel((48, 48)), RED)
    assert near(opened(saved(picture, icc_profile=swapped)).getpixel((48, 48)), BLUE)
    assert near(opened(saved(picture.convert("RGBA"), icc_profile=swapped)).getpixel((48, 48)), BLUE)


def test_a_profile_that_does_not_fit_is_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode, profile in (("RGB", b"nonsense"), ("L", srgb), ("CMYK", srgb)):
        assert accepted(saved(scene().convert(mode), "JPEG", icc_profile=profile))


# ---- metadata


def with_secrets(kind: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SECRET camera"
    exif[ExifTags.Base.Artist] = "SECRET name"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps.update({1: "N", 2: (48.0, 51.0, 29.5), 3: "E", 4: (2.0, 17.0, 40.2), 29: "2024:SECRET"})
    options: dict[str, object] = {"exif": exif}
    if kind == "PNG":
        info = PngInfo()
        info.add_text("Comment", "SECRET text")
        info.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>SECRET xmp</x:xmpmeta>")
        options["pnginfo"] = info
    else:
        options["xmp"] = b"<x:xmpmeta>SECRET xmp</x:xmpmeta>"
    if kind == "JPEG":
        options["comment"] = b"SECRET comment"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return saved(scene(), kind, icc_profile=profile, **options) + b"SECRET behind the end"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_nothing_but_pixels_is_kept(kind: str) -> None:
    file = with_secrets(kind)
    assert file.count(b"SECRET") >= 5
    photo = accepted(file)
    assert {chunk for chunk, _ in png_chunks(photo.data)} == {b"IHDR", b"IDAT", b"IEND"}
    assert not any(word in photo.data for word in (b"SECRET", b"GPS", b"Exif", b"xmp", b"ICC"))
    prepared = Image.open(io.BytesIO(photo.data))
    prepared.load()
    assert not prepared.info and not prepared.getexif()


def test_the_name_in_the_store_is_that_of_the_bytes() -> None:
    photo = accepted(saved(scene(), "JPEG"))
    assert photo.extension == "png"
    assert photo.sha256 == hashlib.sha256(photo.data).hexdigest()
    assert accepted(saved(scene(), "JPEG")) == photo


def test_the_bytes_stay_out_of_logs() -> None:
    assert "data" not in repr(accepted(saved(scene())))


# ---- size


def test_fifty_megapixels_are_not_decoded_whole() -> None:
    file = saved(scene(8660, 5774), "JPEG", quality=75)
    photo = open_photo(file, max_pixels=64_000_000, min_px=64)
    assert photo.image.size == (8660, 5774)
    picture = decode(photo, side_px=768)
    assert picture.size == (1152, 768)
    assert photo.image.width * photo.image.height < 13_000_000


def test_a_panorama_as_long_as_can_be() -> None:
    assert opened(saved(Image.new("L", (100_000, 64)))).size == (64, 64)


# ---- crop


@settings(max_examples=examples(40), deadline=None)
@given(st.floats(0, 1), st.booleans(), st.sampled_from([0.35, 0.6, 0.85]), st.integers(0, 5))
def test_the_subject_is_kept_whole_wherever_it_is(place: float, tall: bool, share: float, seed: int) -> None:
    height, width = 160, 420
    noise = np.random.default_rng(seed).normal(0, 8, (height, width, 3))
    sky = np.linspace((90, 140, 200), (150, 160, 140), height)[:, None]
    picture = Image.fromarray((sky + noise).clip(0, 255).astype(np.uint8))
    size = share * height
    left, top = place * (width - size), (height - size) * 0.6
    pen = ImageDraw.Draw(picture)
    pen.ellipse((left, top, left + size, top + size), fill=(190, 60, 40))
    pen.ellipse((left + size * 0.3, top + size * 0.3, left + size * 0.5, top + size * 0.5), fill=WHITE)
    if tall:
        picture = picture.transpose(Image.Transpose.TRANSPOSE)
    box = subject_square(picture)
    start, end = (box[1], box[3]) if tall else (box[0], box[2])
    assert end - start == height
    assert start - 4 <= left and left + size <= end + 4


def test_an_even_picture_is_cut_in_the_middle() -> None:
    assert subject_square(Image.new("RGB", (300, 100), BLUE)) == (100, 0, 200, 100)
    assert subject_square(Image.new("RGB", (100, 300), BLUE)) == (0, 100, 100, 200)
    assert subject_square(scene(100, 100)) == (0, 0, 100, 100)


def test_the_square_is_cut_from_the_upright_picture() -> None:
    upright = Image.new("RGB", (160, 420), (120, 150, 180))
    ImageDraw.Draw(upright).ellipse((20, 290, 140, 410), fill=RED)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    square = opened(saved(upright.transpose(UNDO[6]), "JPEG", exif=exif, quality=95))
    assert near(square.getpixel((64, 64)), RED, 30)
