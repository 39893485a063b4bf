"""Catalogues of a program's texts and their translations, as gettext's tools write them (PO).

A row an entry. Of one with a plural, the row is its plural and the translation for many; where the
language has other forms, the singular is a row of its own. What is not translated, or only guessed
by a tool (``fuzzy``), is no example; entries that are out of use are passed by.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from feilun.data.sources._text import TextFile, open_found
from feilun.data.sources.base import BadRow, LeftOut, Options, Table
from feilun.types import Row, Scalar

__all__ = ["is_catalogue", "open_tables"]

_COLUMNS = ("msgid", "msgstr", "msgctxt")
_ENTRY = re.compile(r'^\s*(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)\s+"(.*)"\s*$')
_MORE = re.compile(r'^\s*"(.*)"\s*$')
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_BEGIN = re.compile(r'^msgid\s+"', re.MULTILINE)
_FIELD = re.compile(r'^msgstr(?:\[0\])?\s+"', re.MULTILINE)


def is_catalogue(head: str) -> bool:
    """Whether a text that begins with `head` is a catalogue."""
    return _BEGIN.search(head) is not None and _FIELD.search(head) is not None


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table; a row is numbered as its ``msgid`` is."""
    path = Path(location)
    stream, told = open_found(path, options.encoding)
    return [
        Table(
            path.name,
            _COLUMNS,
            _rows(stream),
            folder=path.parent,
            details={"format": "PO", **told},
            total=stream.size,
            unit="bytes",
            position=stream.position,
            close=stream.close,
        )
    ]


def _rows(stream: TextFile) -> Iterator[Row | BadRow]:
    entry: dict[str, str] = {}
    begin, field, guessed, guess = 0, "", False, False
    for number, line in enumerate(stream.lines(), 1):
        if line.startswith("#"):
            guess = guess or (line.startswith("#,") and "fuzzy" in line)
            continue
        found = _ENTRY.match(line)
        if found:
            field, text = found.groups()
            if field in ("msgctxt", "msgid") and "msgid" in entry and field in (*entry, "msgctxt"):
                yield from _made(begin, entry, guessed)
                entry = {}
            if field in ("msgctxt", "msgid") and not entry:
                guessed, guess = guess, False
            if field == "msgid":
                begin = number
            entry[field] = text
        elif field and (more := _MORE.match(line)):
            entry[field] += more.group(1)
        elif line.strip():
            yield BadRow(number, "formats.po_line", {"line": number}, {"msgid": line.strip()[:200]})
    yield from _made(begin, entry, guessed)


def _made(number: int, entry: dict[str, str], guessed: bool) -> Iterator[Row | BadRow]:
    said = {name: _ESCAPE.sub(_unescaped, text) for name, text in entry.items()}
    if not said.get("msgid"):  # the header, or nothing
        return
    forms = [said[name] for name in sorted(said) if name.startswith("msgstr")]
    pairs = [(said["msgid"], forms[0] if forms else "")]
    if "msgid_plural" in said:
        pairs = [(said["msgid_plural"], forms[-1] if forms else ""), *pairs][: max(1, len(forms))]
    for source, target in pairs[:2]:
        values: dict[str, Scalar] = {"msgid": source, "msgstr": target}
        values["msgctxt"] = said.get("msgctxt", "")
        if guessed or not target:
            yield LeftOut(number, values, "formats.not_translated")
        else:
            yield Row(number, values)


def _unescaped(found: re.Match[str]) -> str:
    sign = found.group(1)
    if sign[0] == "x" and len(sign) > 1:
        return chr(int(sign[1:], 16))
    if sign[0] in "01234567":
        return chr(int(sign, 8) % 256)
    return _ESCAPES.get(sign, sign)
