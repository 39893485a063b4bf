"""The first pass over all sources: what is usable is gathered, the rest is counted and told."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from typing import Literal

from feilun.config import DataConfig
from feilun.data._bad_rows import BadRows
from feilun.data._gather import CORRECTION, NEW, RELABEL, WAITED, Gathered
from feilun.data._ticker import Ticker
from feilun.data.clean.mending import Mending
from feilun.data.content import content_key, label_text, row_key
from feilun.data.outcome import SourceReport
from feilun.data.reading import Reading, is_empty, open_readings
from feilun.data.sources.base import AnySource, BadRow, ExampleSource
from feilun.data.splits import AUTO, SPLITS
from feilun.errors import InvalidData
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.types import Example, Split

__all__ = ["MAX_LABELS", "WAITING", "Intake"]

MAX_LABELS = 1000
"""Labels that a data version may have: more is a column of ids or of free text."""
WAITING = "waiting"
"""Folder inside a data version, itself one, with rows whose label is still too rare to learn."""

_NUMBER: dict[str, int] = {name: number for number, name in enumerate(SPLITS)}


class Intake:
    """Takes sources in, one after the other, and counts: rows `read`, rows `held_out` (of them,
    `removed` from the previous version), which splits are the user's `own`; and reports on each
    source."""

    def __init__(
        self,
        task: TaskBase,
        settings: DataConfig,
        gathered: Gathered,
        bad: BadRows,
        exclude: Container[bytes],
        tick: Ticker,
        mending: Mending,
        relabel: bool = False,
    ) -> None:
        self.read = 0
        self.held_out = 0
        self.removed = 0
        self.own: set[str] = set()
        self.sources: list[SourceReport] = []
        self._task = task
        self._settings = settings
        self._gathered = gathered
        self._bad = bad
        self._exclude = exclude
        self._tick = tick
        self._mending = mending
        self._origin = RELABEL if relabel else NEW
        self._names: dict[str, None] = {}
        self._named = 0

    def previous(self, data: Dataset) -> None:
        """The rows of the version before, and those that wait in it."""
        mending = self._mending
        for label in mending.known(data.schema.labels):
            self._gathered.code(label)
            self._names[label] = None
        self.removed = self._gathered.add_previous(
            data, _NUMBER, self._exclude, mending if mending.active else None
        )
        self.held_out += self.removed
        self.own |= set(data.info.get("own_splits", ()))
        if (data.folder / WAITING).is_dir():
            for example in Dataset(data.folder / WAITING).examples():
                key = row_key(self._task.family, content_key(example.item), example.label)
                found = mending.fresh(example, key, waited=True)
                if found is not None:
                    self._gathered.add(*found, _NUMBER[example.split], WAITED)
        self._named = len(self._gathered.labels)  # their names are those of the schema

    def source(self, source: AnySource, split: Literal["auto"] | Split) -> None:
        """All rows of one source. Raises `InvalidData` where the source breaks."""
        given = source.split or (None if split == "auto" else split)
        if isinstance(source, ExampleSource):
            origin = CORRECTION if source.corrects else NEW
            self._tick.begin("read", 0, "rows", None)
            # Corrections are no test set of the user's own: others are drawn beside them.
            wanted = _NUMBER[given or "train"] if source.corrects else self._wanted(given)
            counts = self._rows(source.name, _checked(source, self._task), wanted, origin)
            self.sources.append(SourceReport(source.name, *counts, roles=None))
            return
        timed = self._settings.split_by == "time"
        readings = open_readings(source, self._task, self._settings.columns, timed=timed)
        with ExitStack() as opened:
            for reading in readings:
                opened.callback(reading.table.close)
            for reading in readings:
                self._reading(reading, given)

    def _reading(self, reading: Reading, given: Split | None) -> None:
        table = reading.table
        # A part called train is divided like any file, unless the user sent it there.
        part = given or (None if table.split == "train" else table.split)
        self._tick.begin("read", table.total, table.unit, table.position)
        counts = self._rows(table.name, reading, self._wanted(part), self._origin)
        self.sources.append(
            SourceReport(
                table.name,
                *counts,
                roles=None if "describes" in table.details else reading.roles,
                details=table.details,
            )
        )

    def _wanted(self, split: Split | None) -> int:
        """The number of the split that rows come for."""
        if split is None:
            return AUTO
        if split != "train":
            self.own.add(split)
        return _NUMBER[split]

    def _rows(
        self, name: str, rows: Iterable[Example | BadRow], split: int, origin: int
    ) -> tuple[int, int]:
        gathered, bad, exclude = self._gathered, self._bad, self._exclude
        count, before = 0, bad.count
        for example in rows:
            count += 1
            if not count % 1000:
                self._tick(count)
            if isinstance(example, BadRow):
                bad.add(name, example)
                continue
            key = row_key(self._task.family, content_key(example.item), example.label)
            if key in exclude:
                self.held_out += 1
                continue
            mended = self._mending.fresh(example, key)
            if mended is None:
                continue
            target = mended[0].label
            asked = target is None or self._task.family.asks(target)
            gathered.add(*mended, split if asked else _NUMBER["train"], origin)
            self._few_names(name)
        self._tick(count, last=True)
        self.read += count
        return count, bad.count - before

    def _few_names(self, file: str) -> None:
        """Raises `InvalidData` as soon as the targets name more than `MAX_LABELS`: nobody waits for
        the end of a file of a million."""
        labels = self._gathered.labels
        if self._named == len(labels):
            return
        self._names |= dict.fromkeys(self._task.family.names(labels[self._named :]))
        self._named = len(labels)
        if len(self._names) > MAX_LABELS:
            shown = [label[:40] for label in list(self._names)[-3:]]
            raise InvalidData("data.too_many_labels", file=file, limit=MAX_LABELS, examples=shown)


def _checked(source: ExampleSource, task: TaskBase) -> Iterator[Example | BadRow]:
    """Rows that the caller has at hand, checked like all others."""
    for number, example in enumerate(source.examples, 1):
        try:
            label = label_text(task, example.label)
            if label is None:
                raise InvalidData("data.empty_label", column="label")
            if is_empty(example.item):
                names = [column.name for column in task.columns]
                raise InvalidData("data.empty_input", column=", ".join(names))
            item = task.without_options(task.check(example.item))
        except InvalidData as error:
            values = {"item": example.item, "label": example.label}
            yield BadRow(number, error.code, error.params, values)
            continue
        group, when = task.ordered(item) or (example.group, None)
        yield Example(
            example.row_id, item, label, "train", group, example.subject, source.name, when
        )
