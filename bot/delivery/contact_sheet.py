"""A contact sheet: rows of pictures with a title each and a caption under every picture."""

from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

TILE_PX, GAP_PX, TITLE_PX, CAPTION_PX = 192, 12, 34, 24
PAPER, INK, FAINT = (250, 248, 244), (40, 38, 36), (120, 114, 108)


class SheetRow(NamedTuple):
    """Pictures that belong together; `slug` names their files."""

    slug: str
    title: str
    pictures: list[Image.Image]
    captions: tuple[str, ...] = ()


def contact_sheet(rows: list[SheetRow]) -> Image.Image:
    """Lay the rows out under one another."""
    columns = max(len(row.pictures) for row in rows)
    width = GAP_PX + columns * (TILE_PX + GAP_PX)
    sheet = Image.new("RGB", (width, GAP_PX + sum(_height(row) for row in rows)), PAPER)
    top = GAP_PX
    for row in rows:
        _draw_row(sheet, row, top)
        top += _height(row)
    return sheet


def _height(row: SheetRow) -> int:
    return TITLE_PX + TILE_PX + (CAPTION_PX if row.captions else 0) + GAP_PX


def _draw_row(sheet: Image.Image, row: SheetRow, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP_PX, top + 6), row.title, INK, ImageFont.load_default(18))
    for column, picture in enumerate(row.pictures):
        left, below = GAP_PX + column * (TILE_PX + GAP_PX), top + TITLE_PX
        # Squares, whatever the aspect ratio was: rows of unlike tiles are hard to compare.
        sheet.paste(picture.convert("RGB").resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS), (left, below))
        if column < len(row.captions):
            pen.text((left, below + TILE_PX + 4), row.captions[column], FAINT, ImageFont.load_default(15))
