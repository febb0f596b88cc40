"""Photos as phones, cameras and programs really write them: ends, colours, kinds, bars."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageDraw

from bot.connectors.web.handlers import ACCEPTED
from bot.photos import colour, file_types
from bot.photos.jpeg import clean
from bot.photos.letterbox import without_bars
from tests.support.photo_files import accepted, opened, png_chunks, png_of, reason, saved, scene

CASES = Path(__file__).parents[3] / "../shared/cases/photos"
P3_RED, SRGB_RED = (230, 40, 60), (251, 0, 54)  # the same colour, as Display P3 and as sRGB tell it


def near(picture: Image.Image, wanted: tuple[int, ...], tolerance: int = 6) -> bool:
    found = picture.getpixel((picture.width // 2, picture.height // 2))
    return bool(np.abs(np.subtract(found, wanted)).max() <= tolerance)  # type: ignore[arg-type]


# ---- ends


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_whole_jpeg_without_its_end_is_used(options: dict[str, bool]) -> None:
    whole = saved(scene(256, 200), "JPEG", quality=90, **options)
    for cut in (whole[:-2], whole[:-1], whole[:-2] + b"\0" * 40, whole[:-2] + b"SEFH\xff\xd8\xff\xe0trailer" * 9):
        assert accepted(cut).data == accepted(whole).data


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("share", [0.3, 0.8, 0.95, 0.99])
def test_a_jpeg_that_lacks_pixels_is_damaged(options: dict[str, bool], share: float) -> None:
    whole = saved(scene(256, 200), "JPEG", quality=90, **options)
    assert reason(whole[: int(share * len(whole))]) == "is damaged or incomplete"


@pytest.mark.parametrize(
    "trailer", [b"\0\0\0\x18ftypmp42", b"SEFHd\0\0\0", b"MotionPhoto_Data", b"\xff" * 99, b"PK\x03\x04"]
)
def test_what_stands_behind_a_jpeg_does_not_matter(trailer: bytes) -> None:
    whole = saved(scene(), "JPEG")
    assert accepted(whole + 1000 * trailer).data == accepted(whole).data
    assert accepted(whole + whole).data == accepted(whole).data  # a gain map, or a picture of the other eye


def test_several_pictures_in_a_jpeg_are_its_first(tmp_path: Path) -> None:
    several = saved(scene(seed=1), "MPO", save_all=True, append_images=[scene(seed=2)], quality=90)
    assert accepted(several).data == accepted(saved(scene(seed=1), "JPEG", quality=90)).data


def test_a_png_without_its_end_is_used() -> None:
    whole = saved(scene())
    assert accepted(whole[:-12]).data == accepted(whole[:-5]).data == accepted(whole).data


def test_padding_and_notes_are_left_out_of_a_jpeg() -> None:
    whole = saved(scene(), "JPEG", comment=b"x" * 1000)
    padded = whole[:2] + b"\xff" * 100_000 + whole[2:]
    assert clean(padded) == clean(whole) and len(clean(padded).data) < len(whole)


# ---- colours


def with_cicp(picture: Image.Image, *codes: int) -> bytes:
    header, *rest = png_chunks(saved(picture))
    return png_of([header, (b"cICP", bytes(codes)), *rest])


@pytest.mark.parametrize("codes", [(12, 13, 0, 1), (12, 1, 0, 1)])
def test_png_colours_by_cicp(codes: tuple[int, ...]) -> None:
    assert near(opened(with_cicp(Image.new("RGB", (96, 96), P3_RED), *codes)), SRGB_RED)
    assert near(opened(with_cicp(Image.new("RGB", (96, 96), P3_RED), 1, 13, 0, 1)), P3_RED, 0)
    assert near(opened(with_cicp(Image.new("RGB", (96, 96), P3_RED), 2, 2, 2, 1)), P3_RED, 0)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_heic_and_avif_colours_by_nclx(kind: str) -> None:
    file = saved(Image.new("RGB", (96, 96), P3_RED), kind, quality=95)
    at = file.index(b"colrnclx") + 8
    p3 = file[:at] + struct.pack(">HH", 12, 13) + file[at + 4 :]
    assert near(opened(p3), SRGB_RED, 10)
    assert near(opened(file), P3_RED, 6)


def test_of_several_pictures_in_a_heic_the_primary_ones_colours_count() -> None:
    red, file = Image.new("RGB", (96, 96), P3_RED), io.BytesIO()
    several = pillow_heif.from_pillow(red)
    several.add_from_pillow(red)
    codes = {"color_primaries": 12, "transfer_characteristic": 13, "matrix_coefficients": 6, "full_range_flag": 1}
    several.save(file, format="HEIF", primary_index=1, **codes)
    assert file.getvalue().count(b"colrnclx") == 2
    assert near(opened(file.getvalue()), SRGB_RED, 10)


def test_wide_gamut_white_stays_white_and_grey_grey() -> None:
    for primaries in colour.PRIMARIES:
        for level in (0, 128, 255):
            space = colour.space_of_cicp(bytes([primaries, 13]))
            if space:
                shown = colour.to_srgb(Image.new("RGB", (4, 4), (level,) * 3), space).getpixel((0, 0))
                assert np.abs(np.subtract(shown, level)).max() <= 1  # type: ignore[arg-type]


@pytest.mark.parametrize(("transfer", "white"), [(16, 148), (18, 191)])  # PQ and HLG codes of 203 cd/m² of 255
def test_hdr_is_tone_mapped(transfer: int, white: int) -> None:
    levels = [0, white // 2, white, 230, 255]
    shown = [
        opened(with_cicp(Image.new("RGB", (96, 96), (v,) * 3), 9, transfer, 0, 1)).getpixel((9, 9)) for v in levels
    ]
    light = [pixel[0] for pixel in shown]
    assert light[0] == 0 and 215 <= light[2] <= 245 and light[4] >= 250
    assert light == sorted(light) and light[3] > light[2]
    assert all(max(pixel) - min(pixel) <= 1 for pixel in shown)


def test_png_colours_by_gamma_and_chromaticity() -> None:
    header, *rest = png_chunks(saved(Image.new("RGB", (96, 96), (128,) * 3)))
    linear = png_of([header, (b"gAMA", struct.pack(">I", 100_000)), *rest])
    assert near(opened(linear), (188, 188, 188), 1)
    usual = png_of([header, (b"gAMA", struct.pack(">I", 45_455)), *rest])
    assert near(opened(usual), (128, 128, 128), 0)


def test_adobe_rgb_as_cameras_mark_it() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 0xFFFF
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03", 2: b"0100"}
    file = saved(Image.new("RGB", (96, 96), (60, 200, 60)), "JPEG", quality=95, exif=exif.tobytes())
    assert opened(file).getpixel((48, 48))[0] < 10  # type: ignore[index]


def test_sixteen_bit_grey_with_a_transparent_value() -> None:
    values = np.full((96, 96), 40_000, np.uint16)
    values[:, :48] = 0
    header, *rest = png_chunks(saved(Image.fromarray(values)))
    square = opened(png_of([header, (b"tRNS", b"\0\0"), *rest]))
    assert square.getpixel((10, 48))[3] == 0 and square.getpixel((90, 48)) == (156, 156, 156, 255)  # type: ignore[index]


@pytest.mark.skipif(not CASES.is_dir(), reason="no folder of photos that other programs wrote")
@pytest.mark.parametrize("name", ["cicp-p3.png", "nclx-p3.heic"])
def test_files_of_other_programs(name: str) -> None:
    assert near(opened((CASES / name).read_bytes()), (251, 0, 54), 6)
    assert accepted((CASES / "no-eoi.jpg").read_bytes())
    assert accepted((CASES / "mif1.avif").read_bytes()).data == accepted((CASES / "photo.avif").read_bytes()).data
    assert reason((CASES / "cut20.jpg").read_bytes()) == "is damaged or incomplete"


# ---- kinds


@pytest.mark.parametrize("kind", ["AVIF", "TIFF", "BMP", "GIF"])
def test_kinds_that_programs_write(kind: str) -> None:
    assert accepted(saved(scene(), kind))


def test_a_tiff_as_scanners_write_it() -> None:
    for options in ({"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "packbits"}):
        assert accepted(saved(scene(), "TIFF", **options))
    assert near(opened(saved(Image.new("CMYK", (96, 96), (0, 255, 255, 0)), "TIFF")), (255, 0, 0), 20)


def raw(kind: str) -> bytes:
    """A camera's raw file, as far as its head: a thumbnail, and the tags that tell that there is more."""
    thumbnail = Image.new("RGB", (96, 96))
    tags = {"DNG": {50706: b"\1\4\0\0"}, "NEF": {254: 1, 271: "NIKON CORPORATION", 330: 8}}[kind]
    return saved(thumbnail, "TIFF", tiffinfo=tags)


BOX = b"\0\0\0\x20ftyp%s\0\0\0\0"
NAMED = {
    "a JPEG XL picture": b"\xff\x0a\0\0" * 9,
    "a JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "a JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "a Photoshop": b"8BPS\0\1",
    "a raw photo (CR2)": b"II*\0\x10\0\0\0CR\2\0",
    "a raw photo (CR3)": BOX % b"crx ",
    "a raw photo (RAF)": b"FUJIFILMCCD-RAW 0201",
    "a raw photo (DNG)": raw("DNG"),
    "a raw photo (NEF)": raw("NEF"),
    "a QuickTime movie": BOX % b"qt  ",
    "a PCX": b"\n\5\1\x08\0\0\0\0",
    "a Windows metafile": b"\xd7\xcd\xc6\x9a\0\0",
    "a video": BOX % b"isom",
    "a vid": b"\x1aE\xdf\xa3webm",
    "a sound recording": b"ID3\4",
    "a PDF document": b"%PDF-1.7",
    "an SVG drawing": b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="x">',
    "a web page": b"<!DOCTYPE html><html>",
    "a ZIP archive": b"PK\3\4" + bytes(26) + b"photos/1.jpg",
    "an Office document": b"PK\3\4" + bytes(26) + b"word/document.xml",
    "text": "Liebes Tagebuch, die Fotos sind schön".encode(),
}


@pytest.mark.parametrize("what", NAMED)
def test_other_kinds_are_named(what: str) -> None:
    told = reason(NAMED[what])
    assert what in told and "damaged" not in told, told


@pytest.mark.parametrize("letter", [b"G", b"g"])
def test_a_gif_is_no_video_whatever_its_colours_are(letter: bytes) -> None:
    gif = b"GIF89a".ljust(188, b"\0") + letter  # where a transport stream has its second packet
    assert file_types.format_of(gif) == "GIF"
    assert file_types.other(b"\x47".ljust(188, b"\0") + b"G") == ("a video", file_types.ADVICE["video"])


def test_forms_offer_what_is_taken() -> None:
    for kind in file_types.TAKEN:
        for extension, name in zip(kind.extensions, kind.formats * 2, strict=False):
            assert f".{extension}" in ACCEPTED and extension in file_types.EXTENSIONS
            assert accepted(saved(scene(), name))
    assert "image/*" not in ACCEPTED


# ---- what a photo shows


def test_a_lens_cap_and_a_wall_are_said() -> None:
    chance = np.random.default_rng(0)
    black = Image.fromarray(chance.integers(0, 9, (96, 96, 3), dtype=np.uint8))
    assert accepted(saved(black)).note == "is all but black, so nothing can be seen in it"
    assert accepted(saved(Image.new("RGB", (96, 96), (200, 30, 40)))).note.startswith("is all of one colour")
    assert accepted(saved(scene())).note == ""


@pytest.mark.parametrize(
    ("colour", "noise", "note"),
    [((12, 10, 11), 6, "is all but black"), ((20, 20, 20), 3, "is all but black"), ((120, 20, 20), 5, "is all of one")],
)
def test_noise_is_nothing_to_be_seen(colour: tuple[int, int, int], noise: int, note: str) -> None:
    dark = np.random.default_rng(1).normal(colour, noise, (480, 480, 3)).clip(0, 255).astype(np.uint8)
    assert accepted(saved(Image.fromarray(dark), "JPEG")).note.startswith(note)


def framed(inner: Image.Image, colour: tuple[int, int, int], **edges: int) -> Image.Image:
    left, top, right, bottom = (edges.get(name, 0) for name in ("left", "top", "right", "bottom"))
    outer = Image.new("RGB", (inner.width + left + right, inner.height + top + bottom), colour)
    outer.paste(inner, (left, top))
    return outer


EDGES = [
    {"top": 60, "bottom": 60},
    {"left": 80, "right": 30},
    {"top": 20},
    {"left": 9, "top": 9, "right": 9, "bottom": 9},
]
# of players and scans, and the grounds of iOS, Discord, X and paper
SHADES = [(0, 0, 0), (255, 255, 255), (28, 28, 30), (49, 51, 56), (21, 32, 43), (245, 240, 230)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("shade", SHADES)
@pytest.mark.parametrize("edges", EDGES)
def test_bars_are_cut_off_and_said(kind: str, shade: tuple[int, int, int], edges: dict[str, int]) -> None:
    inner = scene(300, 200, seed=4)
    photo = accepted(saved(framed(inner, shade, **edges), kind))
    assert photo.note == "had plain bars at its edges, which were cut off"
    whole = Image.open(io.BytesIO(photo.whole))
    assert abs(whole.width / whole.height - 300 / 200) < 0.06


def test_a_screenshot_with_its_status_bar() -> None:
    shot = framed(scene(360, 400, seed=5), (255, 255, 255), top=60, bottom=120)
    pen = ImageDraw.Draw(shot)
    pen.text((12, 8), "9:41", (0, 0, 0))
    pen.rectangle((310, 10, 340, 22), (0, 0, 0))
    for k in range(5):
        pen.ellipse((30 + 70 * k, 500, 50 + 70 * k, 520), (90, 90, 90))
    box = without_bars(shot)
    assert box is not None and abs(box[1] - 60) <= 2 and abs(box[3] - 460) <= 2


def test_a_plain_background_is_no_bar() -> None:
    for ground in ((255, 255, 255), (0, 0, 0)):
        picture = Image.new("RGB", (300, 300), ground)
        ImageDraw.Draw(picture).ellipse((90, 80, 210, 260), (190, 60, 40))
        assert without_bars(picture) is None


@pytest.mark.parametrize("sky", [(120, 150, 200), (205, 225, 245), (128, 128, 128)])
def test_a_sky_over_the_sea_is_no_bar(sky: tuple[int, int, int]) -> None:
    assert without_bars(framed(scene(300, 200, seed=4), sky, top=100)) is None


def test_a_profile_that_unpacks_to_too_much_is_ignored() -> None:
    header, *rest = png_chunks(saved(scene()))
    bomb = (b"iCCP", b"p\0\0" + zlib.compress(bytes(2**24)))
    assert accepted(png_of([header, bomb, *rest])).data == accepted(saved(scene())).data
