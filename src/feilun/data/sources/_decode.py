"""The encoding of a page of the web."""

from __future__ import annotations

import codecs
import re

from feilun.data.sources._encodings import encoding_in, whole_lines

__all__ = ["decode"]

_META = re.compile(rb"""<meta[^>]{0,300}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{2,40})""", re.I)
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "ascii": "cp1252"}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(body: bytes, said: str = "") -> str:
    """The body as text. Its own mark, what the server said and what the page says of itself are
    tried in this order; what does not fit is passed over, because servers often guess."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body.decode(name, "replace")
    found = _META.search(body[:8192])
    for name in (said, found[1].decode("ascii") if found else "", "utf-8"):
        text = _strictly(body, name)
        if text is not None:
            return text
    spelt = encoding_in(whole_lines(body[:200_000]))
    return body.decode(spelt.encoding if spelt else "utf-8", "replace")


def _strictly(body: bytes, name: str) -> str | None:
    try:
        known = codecs.lookup(name).name if name else ""
        return body.decode(_WIDER.get(known, known)) if known else None
    except (LookupError, UnicodeError, ValueError):
        return None
