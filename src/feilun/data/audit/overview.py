"""A look at the data before anything is learnt from it."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from feilun import messages
from feilun.data._contents import begins
from feilun.data._warnings import label_warnings, source_warnings, split_warnings
from feilun.data.content import content_key, repeat_key
from feilun.data.outcome import Notice, SourceReport
from feilun.data.reading import open_readings
from feilun.data.sources.base import BadRow, Source
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import Processor, TaskBase
from feilun.types import Example, Item

__all__ = ["Audit", "LabelRow", "audit", "audit_source"]

_SAMPLE = 2000
"""Rows whose tokens and letters are counted, spread over all rows."""
_SHOWN = 80
_LONG = 100_000
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label: its rows in all and by split, their share of the labelled rows, the median
    length of their inputs, and one short example."""

    label: str
    rows: int
    share: float
    splits: Mapping[str, int]
    median_length: float
    example: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What a look at the data found.

    `lengths` and `tokens` are ``{"min", "p50", "mean", "p90", "p99", "max"}``, of characters for
    texts and of bytes for media; `tokens` is None without a processor, else counted before
    anything is cut off. `truncated` is the share of rows that the processor cuts. `chinese` is the
    share of Chinese letters among all letters. Tokens and letters are those of 2,000 rows at most.
    `duplicates` counts rows whose content came before, `conflicts` contents with more than one
    label, `empty` rows with nothing in them (which are among the `bad` ones of a file).
    """

    rows: int
    labels: tuple[LabelRow, ...]
    splits: Mapping[str, int]
    lengths: Mapping[str, float]
    tokens: Mapping[str, float] | None
    truncated: float | None
    chinese: float
    duplicates: int
    conflicts: int
    empty: int
    bad: int
    sources: tuple[SourceReport, ...] = ()
    warnings: tuple[Notice, ...] = field(default=())

    def to_json(self, lang: messages.Language | None = None) -> dict[str, Any]:
        """Everything as JSON values; warnings as sentences in `lang`."""
        return {**asdict(self), "warnings": [notice.text(lang) for notice in self.warnings]}


def audit(data: Dataset, *, processor: Processor | None = None, divided: bool = True) -> Audit:
    """Looks at a data version. Tokens are counted when `processor` is given; `divided` tells
    whether its splits mean something."""
    look = _Look(max(1, len(data) // _SAMPLE), tasks.get(data.schema.task))
    for example in data.examples():
        look.add(example)
    return look.result(processor, look.division() if divided else [])


def audit_source(source: Source, *, task: TaskBase, processor: Processor | None = None) -> Audit:
    """Looks at a file before it is added; nothing is written. Raises `InvalidData` when it cannot
    be read or its columns' roles cannot be told."""
    look = _Look(None, task)
    for reading in open_readings(source, task):
        before, bad = look.seen, look.bad
        for row in reading:
            if isinstance(row, BadRow):
                look.refuse(row)
            else:
                look.add(row)
        table = reading.table
        counts = look.seen - before, look.bad - bad
        look.sources.append(
            SourceReport(table.name, *counts, roles=reading.roles, details=table.details)
        )
    return look.result(processor, source_warnings(look.sources))


class _Look:
    """Counts rows as they go by. `step` says which rows are sampled: every so many; None where
    nobody knows how many there are, and the sample is thinned out as it grows."""

    def __init__(self, step: int | None, task: TaskBase) -> None:
        self._task, self._family = task, task.family
        self.seen = self.bad = self.empty = 0
        self.sources: list[SourceReport] = []
        self._step = step or 1
        self._thin = step is None
        self._keys = bytearray()
        self._codes = array("i")
        self._targets = array("q")
        self._lengths = array("Q")
        self._labels: dict[str, int] = {}
        self._splits: Counter[tuple[str, str]] = Counter()
        self._names: dict[str, Counter[str]] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        self._examples: list[str] = []
        self._sample: list[Item] = []

    def refuse(self, row: BadRow) -> None:
        """A row that cannot be used."""
        self.seen += 1
        self.bad += 1
        self.empty += row.code == "data.empty_input"

    def add(self, example: Example) -> None:
        """A row that can be used."""
        self.seen += 1
        item, target = example.item, example.label or ""
        label = self._family.stratum(target) if target else ""
        if label not in self._labels:
            self._labels[label] = len(self._labels)
            self._examples.append(_shown(item))
        length = _length(item)
        self.empty += length == 0
        self._codes.append(self._labels[label])
        self._lengths.append(length)
        self._keys += repeat_key(self._task, content_key(item), target)
        self._targets.append(hash(target))
        self._splits[example.split, label] += 1
        if target not in self._named and len(self._named) < _SAMPLE:
            self._named[target] = self._family.names([target]) if target else ()
        names = self._named.get(target)
        names = self._family.names([target]) if names is None else names
        self._names.setdefault(example.split, Counter()).update(names)
        if not (len(self._codes) - 1) % self._step:
            self._sample.append(item)
            if self._thin and len(self._sample) >= 2 * _SAMPLE:
                self._sample = self._sample[::2]
                self._step *= 2

    def division(self) -> list[Notice]:
        """Warnings about the splits."""
        whole: dict[str, dict[str, int]] = {}
        for (split, label), rows in self._splits.items():
            whole.setdefault(split, {})[label] = rows
        return split_warnings(self._names, whole)

    def result(self, processor: Processor | None, warnings: list[Notice]) -> Audit:
        """What was found."""
        codes = np.frombuffer(self._codes, np.int32)
        lengths = np.frombuffer(self._lengths, np.uint64)
        counts = np.bincount(codes, minlength=len(self._labels)).tolist()
        labelled = sum(n for label, n in zip(self._labels, counts, strict=True) if label) or 1
        splits = sorted({split for split, _ in self._splits})
        rows = [
            LabelRow(
                label,
                counts[code],
                counts[code] / labelled,
                {s: self._splits[s, label] for s in splits if self._splits[s, label]},
                float(np.median(lengths[codes == code])),
                self._examples[code],
            )
            for label, code in self._labels.items()
        ]
        rows.sort(key=lambda row: (-row.rows, row.label))
        duplicates, conflicts = self._same()
        tokens, truncated = _tokens(processor, self._sample)
        found = [*label_warnings(sum(self._names.values(), Counter()), len(codes)), *warnings]
        longest = int(lengths.max()) if len(lengths) else 0
        if conflicts:
            found.append(Notice("data.has_conflicts", {"rows": conflicts}))
        if duplicates * 10 > len(codes):
            found.append(Notice("data.has_duplicates", {"rows": duplicates, "of": len(codes)}))
        if longest > _LONG and any(isinstance(item, str) for item in self._sample):
            found.append(Notice("data.very_long", {"characters": longest}))
        if truncated:
            found.append(Notice("data.truncated", {"share": 100 * truncated}))
        return Audit(
            rows=self.seen,
            labels=tuple(rows),
            splits={
                s: sum(n for (part, _), n in self._splits.items() if part == s) for s in splits
            },
            lengths=_spread(lengths),
            tokens=tokens,
            truncated=truncated,
            chinese=_chinese(self._sample),
            duplicates=duplicates,
            conflicts=conflicts,
            empty=self.empty,
            bad=self.bad,
            sources=tuple(self.sources),
            warnings=tuple(found),
        )

    def _same(self) -> tuple[int, int]:
        """Rows whose content came before, and contents with more than one label."""
        if not self._codes:
            return 0, 0
        keys = np.frombuffer(self._keys, ">u8").reshape(-1, 2).astype(np.uint64)
        codes = np.frombuffer(self._targets, np.int64)
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        new = begins(*keys[order].T)
        starts = np.flatnonzero(new)
        first = codes[order[starts]][np.cumsum(new) - 1]
        differs = np.logical_or.reduceat(codes[order] != first, starts)
        return len(order) - len(starts), int(differs.sum())


def _length(item: Item) -> int:
    if isinstance(item, str):
        return len(item.strip())
    if isinstance(item, Mapping):
        return sum(_length(value) for value in item.values())
    return len(item) if isinstance(item, bytes) else len(str(item)) if item is not None else 0


def _shown(item: Item) -> str:
    if isinstance(item, bytes):
        return f"<{len(item):,} bytes>"
    if isinstance(item, Mapping):
        text = ", ".join(f"{name}: {_shown(value)}" for name, value in item.items())
    else:
        text = " ".join(str(item).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _spread(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    p50, p90, p99 = np.percentile(values, (50, 90, 99)).tolist()
    return {
        "min": float(values.min()),
        "p50": p50,
        "mean": float(values.mean()),
        "p90": p90,
        "p99": p99,
        "max": float(values.max()),
    }


def _texts(items: list[Item]) -> Iterator[str]:
    for item in items:
        for value in item.values() if isinstance(item, Mapping) else (item,):
            if isinstance(value, str):
                yield value[:1000]


def _chinese(items: list[Item]) -> float:
    letters = chinese = 0
    for text in _texts(items):
        letters += len(_LETTER.findall(text))
        chinese += len(_CHINESE.findall(text))
    return chinese / letters if letters else 0.0


def _tokens(
    processor: Processor | None, items: list[Item]
) -> tuple[dict[str, float] | None, float | None]:
    if processor is None or not items:
        return None, None
    encoded = [e for i in range(0, len(items), 256) for e in processor.encode(items[i : i + 256])]
    cut = np.array([e.cut for e in encoded])
    return _spread(np.array([e.cost for e in encoded]) + cut), float((cut > 0).mean())
