"""Which numbers of a text are order numbers, weights, or whatever was marked: a text in, spans out.
The family is feilun's; the file brings a method that learns what marked pieces look like, and the
engine that finds others of that look."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import numpy as np

from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card, write_card
from feilun.errors import InvalidData
from feilun.families.spans import SPANS, Found, spans_of
from feilun.modalities.noise import Disturbance
from feilun.modalities.text.task import TextSettings, TextTask
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Example, Item, Progress

FORMATS = ("codes",)
order = 0
needs_base = needs_torch = False
least_rows = 0


def _spans(*spans: tuple[int, int, str]) -> str:
    found = [dict(zip(("start", "end", "label"), one, strict=True)) for one in spans]
    return json.dumps(found, separators=(",", ":"))


class Task(TextTask):
    """Which pieces of a text are codes, such as order numbers, and of which kind."""

    summary: ClassVar = {"en": "finds the codes in a text", "zh": "找出文本中的编号"}
    family = SPANS
    Settings = TextSettings
    label_aliases = ("codes", "编号")
    examples = (
        Example("1", "Order AB-1234 weighs 5 kg.", _spans((6, 13, "ORDER"), (21, 25, "WEIGHT"))),
        Example("2", "Nothing has arrived.", "[]"),
        Example("3", "订单 CD-9876 未到。", _spans((3, 10, "ORDER"))),
    )

    def agree(self, item: Item, target: str) -> None:
        """Nothing lies behind the end of the text."""
        for start, end, label in spans_of(target):
            if end > len(str(item)):
                span = f"{label} {start}–{end}"
                raise InvalidData("spans.outside", span=span, length=len(str(item)))

    def disturbances(self) -> Mapping[str, Disturbance]:
        return {}  # a slip would move what stands behind it


class Settings(MethodSettings):
    """``[training.codes]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    return None if task.name == "toy-codes" else "it finds codes alone"


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    return Estimate(10_000_000, 1.0)


def _look(piece: str) -> str:
    """A regular expression for what looks alike: digits, letters, and all else as it stands."""

    def kind(sign: str) -> str:
        return r"\d" if sign.isdigit() else "[A-Za-z]" if sign.isalpha() else re.escape(sign)

    return "".join(f"{one}{{{len(list(run))}}}" for one, run in groupby(piece, kind))


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """Each look with the kind that it was marked as."""
    dataset = Dataset(job.data)
    rows = all_rows(dataset)
    looks = {
        _look(str(item)[start:end]): label
        for item, spans in zip(rows.items, rows.labels, strict=True)
        for start, end, label in spans
    }
    report(Progress("train", 1, 1, "looks", {"looks": float(len(looks))}))
    (job.out / "looks.json").write_text(json.dumps(looks), "utf-8")
    schema = schema_of(job, dataset)
    write_card(job.out, start_card(job, "codes", schema, settings.model_dump(mode="json")))
    return TrainResult({"rows": float(len(rows))})


class Engine(InlineEngine):
    name = "codes"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        looks = json.loads((folder / "looks.json").read_text("utf-8"))
        self._kinds = list(looks.values())
        self._any = re.compile("|".join(rf"(?<!\w)({look})(?!\w)" for look in looks))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        found = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            found[place] = [
                Found(one.start(), one.end(), self._kinds[(one.lastindex or 1) - 1], 1.0, one[0])
                for one in self._any.finditer(str(item))
            ]
        return found


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> Engine:
    return Engine(folder, card)
