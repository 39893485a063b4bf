"""Small data that a model can learn: reviews in two languages, with a seeded share of noise."""

from __future__ import annotations

import csv
import random
from pathlib import Path

__all__ = ["reviews", "write_reviews"]

_PARTS = {
    "great": (
        ["lovely", "delicious", "perfect", "fresh", "wonderful", "好吃", "满意", "推荐"],
        ["will buy again", "arrived on time", "my family loves it", "值得购买", "物流很快"],
    ),
    "bad": (
        ["stale", "awful", "broken", "tasteless", "disgusting", "难吃", "失望", "退货"],
        ["never again", "arrived late", "money wasted", "不值这个价", "客服不理人"],
    ),
}
_THINGS = ["tea", "coffee", "bread", "olive oil", "chocolate", "茶叶", "咖啡", "面包", "橄榄油"]


def reviews(count: int, seed: int = 0, noise: float = 0.1) -> list[tuple[str, str]]:
    """(text, label) pairs, all different; `noise` of the labels are turned round."""
    draw = random.Random(seed)
    rows: list[tuple[str, str]] = []
    for number in range(count):
        label = draw.choice(["great", "bad"])
        words, ends = _PARTS[label]
        text = f"{draw.choice(_THINGS)} {draw.choice(words)}, {draw.choice(ends)} no. {number}"
        if draw.random() < noise:
            label = "bad" if label == "great" else "great"
        rows.append((text, label))
    return rows


def write_reviews(file: Path, count: int, seed: int = 0, noise: float = 0.1) -> Path:
    """The same as a CSV with the columns ``review`` and ``score``."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "score"])
        writer.writerows(reviews(count, seed, noise))
    return file
