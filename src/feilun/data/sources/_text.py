"""Text files: which encoding they have, and lines from them in flat memory."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from feilun.data.sources._encodings import Found, encoding_in, whole_lines
from feilun.errors import InvalidData

__all__ = [
    "DAMAGE",
    "MAX_CELL",
    "TextFile",
    "damaged",
    "encoding_of",
    "find_encoding",
    "open_found",
    "open_text",
]

MAX_CELL = 64 << 20
"""Characters that one cell or line may have; more is a quote that was never closed."""

_CHUNK = 1 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = bytes(set(range(32)) - {9, 10, 11, 12, 13, 26, 27})

DAMAGE = "\udcff"
"""Stands where bytes could not be decoded. A half of a surrogate pair: no real text has it."""


class _Damage:
    """Counts undecodable bytes of this process, so that rows are searched for them only after
    there have been any."""

    count = 0

    def __call__(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        self.count += 1
        return DAMAGE, error.end


_damage = _Damage()
codecs.register_error("feilun.mark", _damage)


def damaged() -> int:
    """How many times bytes could not be decoded so far, in the whole process."""
    return _damage.count


def encoding_of(file: Path) -> str:
    """The encoding of a text file as Python names it. Raises `InvalidData` for what is no text."""
    return find_encoding(file).encoding


def find_encoding(file: Path) -> Found:
    """The encoding of a text file, with examples where it is a guess.

    A byte order mark decides; so do the NULs of UTF-16 without one. Otherwise the first megabytes
    with anything beyond ASCII in them are looked at, cut at the end of a line. Raises `InvalidData`
    for a file that is not text.
    """
    with file.open("rb") as stream:
        head = stream.read(_CHUNK)
        for bom, name in _BOMS:
            if head.startswith(bom):
                return Found(name)
        if b"\0" in head:
            wide = _wide(head)
            if wide:
                return Found(wide)
        _refuse_binary(file, head)
        before = b""
        while head.isascii():
            before, head = head, stream.read(_CHUNK)
            if not head:
                return Found("utf-8")
        # The line may have begun before, and what is beyond ASCII may stand at the very end.
        sample = before[-4:] + head + stream.read(_CHUNK)
        more = stream.read(1)
    found = encoding_in(whole_lines(sample) if more else sample)
    if found is None:
        raise InvalidData("data.unknown_encoding", file=file)
    return found


def _refuse_binary(file: Path, head: bytes) -> None:
    """A text has next to no control characters; whatever is not text is full of them."""
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > max(4, len(head) * 0.003):
        raise InvalidData("data.binary", file=file)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: read in one of the two orders it is nearly all everyday characters,
    which bytes that are no text never are."""
    even = head[: min(len(head), 40_000) // 2 * 2]
    shares = {name: _everyday(even.decode(name, "replace")) for name in ("utf-16-le", "utf-16-be")}
    name = max(shares, key=lambda key: shares[key])
    return name if shares[name] > 0.9 else None


def _everyday(text: str) -> float:
    """The share of ASCII, Latin, Chinese and their punctuation."""
    if not text:
        return 0.0
    fits = sum(
        c in "\t\r\n" or " " <= c < "\u0250" or "\u2010" <= c < "\u2030" or "\u3000" <= c < "\u3030"
        or "\u4e00" <= c < "\u9fff" or "\uff00" <= c < "\uffef"
        for c in text
    )  # fmt: skip
    return fits / len(text)


class TextFile:
    """An open text file that knows how far it was read. Undecodable bytes become `DAMAGE`."""

    def __init__(self, file: Path, encoding: str) -> None:
        self.raw: BinaryIO = file.open("rb", buffering=_CHUNK)
        try:
            self.text = io.TextIOWrapper(self.raw, encoding, errors="feilun.mark", newline="")
        except LookupError:
            self.raw.close()
            raise InvalidData("data.no_such_encoding", file=file, encoding=encoding) from None
        self.file = file
        self.encoding = encoding
        self.size = file.stat().st_size

    def position(self) -> float:
        """Bytes read so far; reading runs a little ahead of the rows."""
        return 0.0 if self.raw.closed else float(self.raw.tell())

    def lines(self) -> Iterator[str]:
        """Lines with their ends (LF, CR or CRLF; no other character ends a line)."""
        readline = self.text.readline
        while line := readline(MAX_CELL):
            if len(line) == MAX_CELL:
                raise InvalidData("data.line_too_long", file=self.file, limit=MAX_CELL)
            yield line

    def close(self) -> None:
        """Closes the file."""
        self.text.close()


def open_text(file: Path, encoding: str | None = None) -> tuple[TextFile, str]:
    """The file, open, and its encoding: the one given or the one found."""
    encoding = encoding or encoding_of(file)
    return TextFile(file, encoding), encoding


def open_found(file: Path, given: str | None) -> tuple[TextFile, dict[str, Any]]:
    """The file, open, and what is told of its encoding: the one given, or the one found and, where
    that is a guess, words that it makes."""
    found = Found(given) if given else find_encoding(file)
    details: dict[str, Any] = {"encoding": found.encoding}
    if found.examples:
        details["guessed"] = list(found.examples)
    return TextFile(file, found.encoding), details
