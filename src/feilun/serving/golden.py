"""Golden requests: the questions that a candidate must answer over the serving path exactly as it
answers them in process, before it goes live.

They are rows of the project's own data (never of the test split) and the inputs that break
programs: the longest rows, nothing at all, Chinese, odd Unicode, extreme pictures.
"""

from __future__ import annotations

import heapq
import io
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from feilun.errors import InvalidData
from feilun.families.base import Family
from feilun.serving.limits import MAX_TEXT
from feilun.tasks import base as tasks
from feilun.types import Example, Item, Output, Scalar

if TYPE_CHECKING:
    from feilun.store.dataset import Dataset
    from feilun.tasks.base import TaskBase

__all__ = ["GoldenFailure", "GoldenResult", "compare", "golden_items"]

LONGEST = 20
CHINESE = 20
SHOWN_FAILURES = 20
_HAN = re.compile("[\u4e00-\u9fff]")

_TEXTS = (
    "",
    " ",
    "\t\r\n ",
    "a",
    "0",
    "?!?!?!",
    "这家店的东西很好，下次还会再来。",
    "质量太差了，客服也不回复，要求退款！",
    "物流很快，包装完好，就是颜色和图片有点不一样",
    "𠮷野家の牛丼、繁體字與簡体字混排",
    "中文 and English mixed，全角　空格ＡＢＣ１２３",
    "👍👍👍 🇨🇳 👩‍👩‍👧‍👦 ❤️",
    "e\u0301cole na\u0308ive Z\u0351\u036b\u0343a\u0322\u0321lgo",
    "zero\u200bwidth\u200djoiner\ufeff and soft\u00adhyphen",
    "\u202eright to left override\u202c عربى עברית",
    "control \x01\x02\x1b[31m characters \x7f",
    "<script>alert(1)</script> &amp; \"quotes\" 'single' \\ / {json: [1]}",
    "https://example.com/?q=%E4%B8%AD&x=1#frag user@example.com",
    "CAPITALS ONLY AND NOTHING ELSE",
    "unspacedword" * 60,
    "很" * 600,
    "one two three four five six seven eight nine ten. " * 120,
)


@dataclass(frozen=True, slots=True)
class GoldenFailure:
    """One request whose answers differ: which (index in the list), and both answers."""

    index: int
    expected: Output
    got: Output
    difference: float


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How the serving path compares with the variant in process.

    `worst_difference` is the largest difference of any figure (`Family.differ`). `passed` wants all
    answers, or as many as `compare` was told, to say the same with no difference above `tolerance`.
    `failures` holds the first twenty.
    """

    total: int
    labels_equal: int
    worst_difference: float
    tolerance: float
    passed: bool
    failures: tuple[GoldenFailure, ...] = ()


def golden_items(dataset: Dataset, n: int = 200, seed: int = 0) -> list[Item]:
    """At least `n` inputs for the dataset's task, the same for the same data, `n` and `seed`.

    Rows of the training and validation splits (a seeded sample, the longest, Chinese ones) and the
    built-in extremes. Where the data is small, rows repeat until there are `n`.
    """
    task = tasks.of(dataset.schema)
    rows = _Rows(n, seed)
    asks = task.family.asks
    rows.read(
        example
        for example in dataset.examples()
        if example.split != "test" and (example.label is None or asks(example.label))
    )
    items = rows.chosen() or task.example_items()
    if items:
        items = _extremes(task, items[0]) + items
    answerable = [item for item in items if _answerable(task, item)]
    if not answerable:
        raise InvalidData("serving.no_golden_rows", task=task.name)
    return list(islice(cycle(answerable), max(n, len(answerable))))


def compare(
    family: Family,
    expected: Sequence[Output],
    got: Sequence[Output],
    tolerance: float = 0.03,
    least: float = 1.0,
) -> GoldenResult:
    """Compares answers in process with answers over the serving path, item by item, as the family
    compares two answers. `least` is the share that has to agree: where answers are written word by
    word, two words that are as good as equally probable may fall either way, and another text
    follows."""
    failures = []
    equal = 0
    worst = 1.0 if len(expected) != len(got) else 0.0
    for index, (left, right) in enumerate(zip(expected, got, strict=False)):
        found = family.differ(left, right)
        worst = max(worst, found.size)
        equal += found.same
        if not found.same or found.size > tolerance:
            failures.append(GoldenFailure(index, left, right, found.size))
    agreed = len(expected) - len(failures)
    passed = agreed >= least * len(expected) and len(expected) == len(got) and bool(expected)
    return GoldenResult(
        len(expected), equal, worst, tolerance, passed, tuple(failures[:SHOWN_FAILURES])
    )


class _Rows:
    """One pass over the data: a sample of `n`, the longest, and Chinese rows."""

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._random = random.Random(seed)
        self._sample: list[Item] = []
        self._longest: list[tuple[int, int, Item]] = []
        self._chinese: list[Item] = []

    def read(self, examples: Iterable[Example]) -> None:
        for number, example in enumerate(examples):
            item, size = example.item, _size(example.item)
            if size > MAX_TEXT and not _holds_bytes(item):
                continue  # no caller could send it either
            if len(self._sample) < self._n:
                self._sample.append(item)
            elif (slot := self._random.randrange(number + 1)) < self._n:
                self._sample[slot] = item
            entry = (size, -number, item)
            if len(self._longest) < LONGEST:
                heapq.heappush(self._longest, entry)
            elif entry[:2] > self._longest[0][:2]:
                heapq.heapreplace(self._longest, entry)
            if len(self._chinese) < CHINESE and any(map(_HAN.search, _texts(item))):
                self._chinese.append(item)

    def chosen(self) -> list[Item]:
        longest = [item for _, _, item in sorted(self._longest, key=lambda e: e[:2], reverse=True)]
        return longest + self._chinese + self._sample


def _extremes(task: TaskBase, row: Item) -> list[Item]:
    """The built-in extremes, in the place of each text or image column of a real `row`."""
    made: list[Item] = []
    for column in task.columns:
        values: Sequence[Scalar] = ()
        if column.kind == "text":
            values = _TEXTS
        elif column.kind == "image":
            values = _pictures()
        if isinstance(row, Mapping):
            made += [{**row, column.name: value} for value in values]
        else:
            made += values
    return made


def _pictures() -> list[bytes]:
    """PNG files: one pixel, black, white, very wide, very tall, grey, transparent, noise."""
    from PIL import Image

    noise = random.Random(0).randbytes(64 * 64 * 3)
    images = [
        Image.new("RGB", (1, 1), (255, 0, 0)),
        Image.new("RGB", (64, 64), (0, 0, 0)),
        Image.new("RGB", (64, 64), (255, 255, 255)),
        Image.new("RGB", (600, 3), (0, 128, 255)),
        Image.new("RGB", (3, 600), (255, 128, 0)),
        Image.new("L", (32, 32), 128),
        Image.new("RGBA", (32, 32), (10, 200, 30, 0)),
        Image.frombytes("RGB", (64, 64), noise),
    ]
    made = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        made.append(buffer.getvalue())
    return made


def _answerable(task: TaskBase, item: Item) -> bool:
    try:
        task.check(item)
    except InvalidData:
        return False
    return True


def _texts(item: Item) -> list[str]:
    values = item.values() if isinstance(item, Mapping) else (item,)
    return [value for value in values if isinstance(value, str)]


def _holds_bytes(item: Item) -> bool:
    values = item.values() if isinstance(item, Mapping) else (item,)
    return any(isinstance(value, bytes) for value in values)


def _size(item: Item) -> int:
    values = item.values() if isinstance(item, Mapping) else (item,)
    return sum(len(value) for value in values if isinstance(value, (str, bytes)))
