"""The parts of an item that an answer is explained by: words of a text, squares of a picture.

Leaving a part out and asking again tells what it did to the answer, whatever the engine.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from feilun.modalities.image import decoding
from feilun.modalities.text import ngrams
from feilun.types import Item, Scalar

__all__ = ["MOST", "SIDE", "Pieces", "of_picture", "of_row", "of_text", "of_texts", "word_pieces"]

MOST = 64
"""Parts of one item; neighbouring words of longer texts stand together."""
SIDE = 8
"""Squares of a picture's side."""

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_PIXELS = 256  # longest side of the picture that squares are taken from


@dataclass(frozen=True, slots=True)
class Pieces:
    """`whole` is what the parts are left out of: the item, or a smaller copy of a picture. `spans`
    are places in a text; `grid` the (rows, columns) of a picture's squares, row by row; `cells` the
    names and values of a row's columns."""

    whole: Item
    count: int
    without: Callable[[int], Item]
    spans: Sequence[tuple[int, int]] = ()
    grid: tuple[int, int] | None = None
    cells: Sequence[tuple[str, Scalar]] = ()


def words_of(text: str) -> list[tuple[int, int]]:
    """First place and end of every word: between spaces and marks, in Chinese by a dictionary."""
    words: list[tuple[int, int]] = []
    run = 0  # words at the end of `words` that are neighbouring Chinese characters
    for start, end in ngrams.word_spans(text):
        chinese = end - start == 1 and _HAN.match(text, start) is not None
        if run and not (chinese and start == words[-1][1]):
            words[-run:] = _segments(text, words[-run][0], words[-1][1])
            run = 0
        words.append((start, end))
        run += chinese
    if run:
        words[-run:] = _segments(text, words[-run][0], words[-1][1])
    return words


def _segments(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The words of a text between these places, which is all Chinese characters."""
    import rjieba  # which opens its dictionary

    ends = list(accumulate(map(len, rjieba.cut(text[start:end])), initial=start))
    return list(pairwise(ends))


def word_pieces(text: str, most: int = MOST) -> list[tuple[int, int]]:
    """Places of the words, each with the marks that follow it, at most `most` of them."""
    words = words_of(text)
    if not words:
        inner = text.strip()
        start = text.find(inner) if inner else 0
        return [(start, start + len(inner))] if inner else []
    starts = [0, *(start for start, _ in words[1:])]
    ends = [*starts[1:], len(text)]
    step = -(-len(words) // most)
    spans = []
    for place in range(0, len(words), step):
        start, end = starts[place], ends[min(place + step, len(words)) - 1]
        part = text[start:end]
        start += len(part) - len(part.lstrip())
        spans.append((start, start + len(part.strip())))
    return spans


def of_text(text: str) -> Pieces | None:
    """The words of `text`; None where there is nothing to leave out."""
    spans = word_pieces(text)
    if not spans:
        return None

    def without(index: int) -> Item:
        start, end = spans[index]
        return text[:start] + text[end:]

    return Pieces(text, len(spans), without, spans)


def of_texts(row: Mapping[str, str], names: Sequence[str]) -> Pieces | None:
    """The words of the texts `names` of `row`, each a cell of its column; the parts are shared out
    evenly. None where there is nothing to leave out."""
    parts = [
        (name, start, end)
        for name in names
        for start, end in word_pieces(row[name], MOST // len(names))
    ]
    if not parts:
        return None

    def without(index: int) -> Item:
        name, start, end = parts[index]
        return {**row, name: row[name][:start] + row[name][end:]}

    cells = [(name, row[name][start:end]) for name, start, end in parts]
    return Pieces(dict(row), len(parts), without, cells=cells)


def of_row(row: Mapping[str, Scalar], names: Sequence[str]) -> Pieces | None:
    """The columns `names` of `row` that have a value; None where none has."""
    cells = [(name, row.get(name)) for name in names if row.get(name) is not None]
    if not cells:
        return None
    single = len(names) == 1

    def without(index: int) -> Item:
        return None if single else {**row, cells[index][0]: None}

    whole: Item = cells[0][1] if single else dict(row)
    return Pieces(whole, len(cells), without, cells=cells)


def of_picture(data: bytes) -> Pieces:
    """Squares of the picture, each left out by the picture's mean colour."""
    from PIL import Image

    picture = decoding.decode(data)
    picture.thumbnail((_PIXELS, _PIXELS))
    mean = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    width, height = picture.size
    columns, rows = min(SIDE, width), min(SIDE, height)

    def without(index: int) -> Item:
        row, column = divmod(index, columns)
        box = (
            column * width // columns,
            row * height // rows,
            (column + 1) * width // columns,
            (row + 1) * height // rows,
        )
        copy = picture.copy()
        copy.paste(mean, box)  # type: ignore[arg-type]
        return _png(copy)

    return Pieces(_png(picture), rows * columns, without, grid=(rows, columns))


def _png(picture: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG", compress_level=1)  # type: ignore[attr-defined]
    return written.getvalue()
