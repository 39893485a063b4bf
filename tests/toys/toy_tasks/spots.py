"""Where the bright spot of a picture is: a picture in, a box out. The file brings all that is new:
a family of answers, a method that learns, and the engine that answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card, write_card
from feilun.errors import InvalidData
from feilun.families.base import (
    Answers,
    Decoder,
    Difference,
    Disagreement,
    Error,
    Family,
    Region,
    Sheet,
)
from feilun.metrics.measured import Measured
from feilun.modalities.image.task import PictureTask
from feilun.modalities.noise import Disturbance
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.training.job import DataStats, Estimate, Machine, Report, TrainJob, TrainResult
from feilun.training.rows import all_rows, schema_of, start_card
from feilun.training.settings import MethodSettings
from feilun.types import Example, Item, Output, Progress, Schema

FORMATS = ("spots",)
order = 0
needs_base = needs_torch = False
least_rows = 0

Box = tuple[float, float, float, float]


def _overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (rows, 4): left, top, right, bottom."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = sum(np.clip(box[:, 2:] - box[:, :2], 0, None).prod(axis=1) for box in (one, other))
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


class Overlap(Measured):
    """Mean overlap of the answered with the true box."""

    higher_is_better: ClassVar = {"iou": True}

    def __init__(self, truth: np.ndarray, given: np.ndarray) -> None:
        self.truth, self.given = truth, given
        self.rows, self.overlap = len(truth), _overlap(truth, given)

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"iou": weights @ self.overlap / weights.sum(axis=1)}

    def take(self, rows: np.ndarray) -> Overlap:
        return Overlap(self.truth[rows], self.given[rows])


class SpotSheet(Sheet):
    def __init__(
        self, candidate: Answers, others: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self.measured: Overlap = Overlap(truth, candidate.raw)
        self.others = {role: Overlap(truth, other.raw) for role, other in others.items()}

    def same(self, role: str) -> bool:
        return bool(np.allclose(self.measured.given, self.others[role].given))

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        mine, theirs = self.measured.overlap, self.others[role].overlap
        return mine > theirs, theirs > mine

    def targets(self) -> list[str]:
        return [_text(box) for box in self.measured.truth.tolist()]

    def spoken(self, row: int) -> tuple[str, str, str]:
        boxes = self.measured.truth, self.others["live"].given, self.measured.given
        return _text(boxes[0][row]), _text(boxes[1][row]), _text(boxes[2][row])

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        bad = np.flatnonzero(self.measured.overlap < 0.5)
        worst = bad[np.argsort(self.measured.overlap[bad], kind="stable")][:most]
        return len(bad), [
            Error(
                row,
                _text(self.measured.truth[row]),
                _text(self.measured.given[row]),
                float(self.measured.overlap[row]),
                1.0,
            )
            for row in worst.tolist()
        ]


def _text(box: Iterable[float]) -> str:
    return json.dumps([round(float(side), 2) for side in box])


class Boxes(Family):
    """One box a picture. Targets are JSON lists of left, top, right and bottom."""

    name = "boxes"
    metrics: ClassVar = Overlap.higher_is_better
    primary = "iou"
    structured = True

    def target(self, value: Any) -> str | None:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            given = json.loads(value) if isinstance(value, str) else value
            sides = [float(side) for side in given]
        except (TypeError, ValueError):
            raise InvalidData("numbers.not_a_number", given=str(value)[:40]) from None
        if len(sides) != 4:
            raise InvalidData("numbers.not_a_number", given=str(value)[:40])
        return _text(sides)

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        return ()

    def stratum(self, target: str) -> str:
        return "boxes"

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        none = [float("nan")] * 4
        found = [none if one is None else json.loads(one) for one in targets]
        return np.array(found, np.float64).reshape(-1, 4)

    def known(self, truth: np.ndarray) -> np.ndarray:
        return np.asarray(np.isfinite(truth).all(axis=1))

    def width(self, labels: Sequence[str]) -> int:
        return 4

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        def decode(raw: np.ndarray, all_scores: bool = False) -> list[Output]:
            return [{"box": [round(float(side), 2) for side in box]} for box in raw]

        return decode

    def said(self, output: Output) -> str:
        return _text(output["box"])

    def regions(self, output: Output) -> Sequence[Region]:
        return (Region(tuple(output["box"])),)

    def differ(self, left: Output, right: Output) -> Difference:
        size = float(np.abs(np.array(left["box"]) - np.array(right["box"])).max())
        return Difference(size < 0.5, size)

    def output_schema(self) -> dict[str, Any]:
        box = {"type": "array", "items": {"type": "number"}}
        return {"type": "object", "properties": {"box": box}, "required": ["box"]}

    def target_schema(self) -> dict[str, Any]:
        return {"type": ["array", "string"]}

    def measured(self, truth, raw, labels, point):  # type: ignore[no-untyped-def]
        return Overlap(truth, raw)

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Overlap:
        return Overlap(self.truth(targets, ()), np.array([one["box"] for one in outputs]))

    def sheet(self, candidate, references, truth, labels):  # type: ignore[no-untyped-def]
        return SpotSheet(candidate, references, truth)

    def disagreements(self, first, second, labels) -> list[Disagreement]:  # type: ignore[no-untyped-def]
        return []


def _picture(side: int, left: int, top: int) -> bytes:
    image = Image.new("L", (side, side), 20)
    image.paste(220, (left, top, left + 6, top + 6))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Task(PictureTask):
    """Where the bright spot of a picture is, as the left, top, right and bottom of its box."""

    summary: ClassVar = {
        "en": "says where the bright spot of a picture is",
        "zh": "指出图片中亮点的位置",
    }
    family = Boxes()
    label_aliases = ("box", "框")
    examples = tuple(
        Example(str(n), _picture(24, n, 2 * n), _text((n, 2 * n, n + 6, 2 * n + 6)))
        for n in range(1, 4)
    )

    def disturbances(self) -> Mapping[str, Disturbance]:
        return {}  # a turned picture would need a turned box


class Settings(MethodSettings):
    """``[training.spots]``."""


def supports(task: TaskBase, base: Path | str | None) -> str | None:
    return None if task.family.name == "boxes" else "it finds boxes alone"


def estimate(job: TrainJob, settings: Settings, rows: DataStats, machine: Machine) -> Estimate:
    return Estimate(10_000_000, 1.0)


def _find(item: bytes, level: float) -> Box:
    bright = np.asarray(Image.open(io.BytesIO(item)).convert("L")) > level
    if not bright.any():
        return (0.0, 0.0, 0.0, 0.0)
    across, down = np.flatnonzero(bright.any(axis=0)), np.flatnonzero(bright.any(axis=1))
    return float(across[0]), float(down[0]), float(across[-1] + 1), float(down[-1] + 1)


def train(job: TrainJob, settings: Settings, report: Report) -> TrainResult:
    """The brightness from which a pixel belongs to the spot, by the training rows."""
    dataset = Dataset(job.data)
    rows = all_rows(dataset)
    levels = range(10, 250, 20)
    found = []
    for done, level in enumerate(levels, 1):
        given = np.array([_find(bytes(item), level) for item in rows.items])
        found.append(float(_overlap(rows.labels, given).mean()))
        report(Progress("train", done, len(levels), "levels", {"iou": found[-1]}))
    best = levels[int(np.argmax(found))]
    schema = schema_of(job, dataset)
    (job.out / "level.json").write_text(json.dumps(best), "utf-8")
    write_card(job.out, start_card(job, "spots", schema, settings.model_dump(mode="json")))
    return TrainResult({"rows": float(len(rows)), "level": float(best)})


class Engine(InlineEngine):
    name = "spots"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._level = float(json.loads((folder / "level.json").read_text("utf-8")))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        boxes = [_find(bytes(item), self._level) for item in items]  # type: ignore[arg-type]
        return np.array(boxes, np.float32).reshape(-1, 4)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> Engine:
    return Engine(folder, card)
