"""Sections of a document: running text under its headings, page by page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["LIMIT", "Block", "Section", "joined", "record", "sections", "text_blocks"]

LIMIT = 4000
"""Characters of a section; a longer one is parted between its paragraphs."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_UNDERLINE = re.compile(r"([=\-~^*+#\"'`])\1{2,}$")
_FENCE = re.compile(r"(```+|~~~+)")
_ITEM = re.compile(r"([-*+•·●○▪]|\(?\d{1,3}[.)、]|[（(]?[一二三四五六七八九十]{1,3}[）)、])\s*")
_CHAPTER = re.compile(
    r"第[一二三四五六七八九十百零〇\d]{1,6}[章节篇编部分]|\d{1,2}(\.\d{1,2}){0,3}\.?\s+\S"
)
_RULE = re.compile(r"\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?$")
_LINK = re.compile(r"!?\[([^\]\[]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")
_MARKS = re.compile(r"\*\*|__|`+")
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_END = re.compile(r"[.!?。！？；;:：,，、]$")
_WIDE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_TITLE = 80  # characters of a line that may be a heading though nothing marks it


class Block(NamedTuple):
    """A paragraph, or where `level` is above 0 a heading; the `page` counts from 1."""

    text: str
    level: int = 0
    page: int | None = None


class Section(NamedTuple):
    """Paragraphs under the same headings (``Returns > Refunds``) on the same page."""

    text: str
    heading: str = ""
    page: int | None = None


def sections(blocks: Iterable[Block]) -> Iterator[Section]:
    """The sections that `blocks` make; a heading without text below it is one by itself."""
    path: list[tuple[int, str]] = []
    held: list[str] = []
    page: int | None = None
    said = True  # whether the lowest heading has text below it

    def done() -> Iterator[Section]:
        if held:
            yield Section("\n\n".join(held), " > ".join(name for _, name in path), page)
            held.clear()

    for block in blocks:
        text = block.text.strip()
        if not text:
            continue
        if block.level:
            yield from done()
            if not said and path and block.level <= path[-1][0]:
                yield Section(path[-1][1], " > ".join(name for _, name in path[:-1]), page)
            while path and path[-1][0] >= block.level:
                path.pop()
            path.append((block.level, " ".join(text.split())))
            page, said = block.page, False
            continue
        long = sum(map(len, held)) + len(text) > LIMIT
        if block.page != page or (held and long):
            yield from done()
        page, said = block.page, True
        held += _parted(text)
        if sum(map(len, held)) > LIMIT:
            *before, last = held
            for one in before:
                held[:] = [one]
                yield from done()
            held[:] = [last]
    yield from done()
    if not said and path:
        yield Section(path[-1][1], " > ".join(name for _, name in path[:-1]), page)


def text_blocks(text: str, *, marked: bool) -> Iterator[Block]:
    """The blocks of a plain text; of Markdown where it is `marked`. Headings are those that a line
    below underlines, chapters that are numbered, and short lines that stand alone over a paragraph;
    in Markdown those that it marks."""
    lines = (_COMMENT.sub("", text) if marked else text).splitlines()
    if marked and lines and lines[0].strip() == "---":  # front matter
        end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
        lines = lines[end + 1 :]
    held: list[str] = []
    levels: dict[str, int] = {}
    place = 0
    while place < len(lines):
        found, after = _block(lines, place, levels, marked, inside=bool(held))
        if found is None and after == place:
            held.append(lines[place].rstrip())
            after = place + 1
        else:
            yield from _paragraph(held, marked)
            if found is not None:
                yield found
        place = after
    yield from _paragraph(held, marked)


def _block(
    lines: Sequence[str], place: int, levels: dict[str, int], marked: bool, *, inside: bool
) -> tuple[Block | None, int]:
    """The heading, table or code that begins at a line, and the line after it; no block and the
    next line where there is nothing to read, and the same line where running text is. `inside` a
    paragraph nothing is a heading but what Markdown marks."""
    plain = lines[place].strip()
    below = lines[place + 1].strip() if place + 1 < len(lines) else ""
    if not plain:
        return None, place + 1
    if marked and (found := _HEADING.match(plain)):
        return Block(_unmarked(found[2]), len(found[1])), place + 1
    if marked and (opened := _FENCE.match(plain)):
        rest = range(place + 1, len(lines))
        end = next((n for n in rest if lines[n].strip().startswith(opened[1])), len(lines))
        return Block("\n".join(lines[place + 1 : end])), end + 1
    if marked and "|" in plain and "-" in below and _RULE.match(below):
        end = place + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        names = _cells(plain)
        return Block("\n".join(record(names, _cells(row)) for row in lines[place + 2 : end])), end
    return (None, place) if inside else _plain_block(lines, place, levels, marked)


def _plain_block(
    lines: Sequence[str], place: int, levels: dict[str, int], marked: bool
) -> tuple[Block | None, int]:
    """A heading that no mark shows, as `_block`."""
    plain = lines[place].strip()
    if _UNDERLINE.match(plain):  # a line across the page
        return None, place + 1
    below = lines[place + 1].strip() if place + 1 < len(lines) else ""
    mark = _UNDERLINE.match(below)
    if mark and len(plain) <= 2 * _TITLE:
        level = levels.setdefault(mark[1], len(levels) + 1)
        if marked:
            level = 1 if mark[1] == "=" else 2
        return Block(_unmarked(plain) if marked else plain, level), place + 2
    if not marked and _stands_alone(lines, place):
        return Block(plain, 1 if plain.startswith("第") else 2), place + 1
    return None, place


def record(names: Sequence[object], cells: Sequence[object]) -> str:
    """A row of a table as a line: each cell that says something after its column's name."""
    said = []
    for place, cell in enumerate(cells):
        value = " ".join(str(cell).split()) if cell is not None and cell == cell else ""
        if value:
            name = " ".join(str(names[place]).split()) if place < len(names) else ""
            said.append(f"{name}: {value}" if name else value)
    return "; ".join(said)


def joined(lines: Sequence[str]) -> str:
    """Lines of one paragraph as running text: a space between them, none between Chinese
    characters, and none where a word was parted by a hyphen."""
    text = ""
    for line in map(str.strip, lines):
        if not text or not line:
            text += line
        elif text.endswith("-") and text[-2:-1].isalpha() and line[0].islower():
            text = text[:-1] + line
        elif _WIDE.match(text[-1]) and _WIDE.match(line[0]):
            text += line
        else:
            text += f" {line}"
    return text


def _paragraph(held: list[str], marked: bool) -> Iterator[Block]:
    """The held lines as one paragraph; items of a list stay lines."""
    if not held:
        return
    found: list[list[str]] = []
    for line in held:
        if not found or _ITEM.match(line.strip()) or line.startswith(("    ", "\t")):
            found.append([])
        found[-1].append(line.strip().removeprefix("> ") if marked else line)
    held.clear()
    text = "\n".join(map(joined, found))
    yield Block(_unmarked(text) if marked else text)


def _stands_alone(lines: Sequence[str], place: int) -> bool:
    """Whether a line is a heading that nothing marks: alone between blank lines, short, without an
    end, and over a paragraph."""
    line = lines[place]
    plain = line.strip()
    if len(plain) > _TITLE or line[:1].isspace() or _END.search(plain):
        return False
    if place and lines[place - 1].strip():
        return False
    chapter = _CHAPTER.match(plain)
    if place + 1 < len(lines) and lines[place + 1].strip():
        return bool(chapter)
    if not chapter and (_ITEM.match(plain) or not any(map(str.isalpha, plain))):
        return False
    rest = next((one.strip() for one in lines[place + 1 :] if one.strip()), "")
    return bool(chapter) or len(rest) > len(plain)


def _cells(line: str) -> list[str]:
    return [_unmarked(cell.strip()) for cell in line.strip().strip("|").split("|")]


def _unmarked(text: str) -> str:
    """Markdown without its marks."""
    return _MARKS.sub("", _LINK.sub(r"\1", text)).strip()


def _parted(text: str) -> list[str]:
    """A paragraph in parts of `LIMIT` characters at most, parted at lines and sentences where that
    is possible."""
    parts = []
    while len(text) > LIMIT:
        head = text[:LIMIT]
        ends = [head.rfind(mark) + len(mark) for mark in ("\n", "。", ". ", "；", " ")]
        end = next((one for one in ends if one > LIMIT // 2), LIMIT)
        parts.append(text[:end].strip())
        text = text[end:].strip()
    return [*parts, text] if text else parts
