"""Rung zero: sparse n-gram features times a matrix, answered inline.

One text takes well under a millisecond, so nothing is queued and no thread is started. A long call
is cut into slices, between which the event loop serves the others. Pictures go to threads.

``weights.safetensors`` holds `coef` (labels, size), `intercept` (labels,) and, where the method
weighed its features, `idf` (size,); all float32. Where it dropped features, `columns` (size,) int32
names the kept ones in ascending order.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from feilun.engines.card import Card
from feilun.errors import CorruptArtifact, EnvironmentProblem, Overloaded
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["FORMATS", "WEIGHTS", "LinearEngine", "load", "pick", "weigh"]

FORMATS = ("linear",)
WEIGHTS = "weights.safetensors"
_SLICE = 16  # items that may hold the event loop at once, some milliseconds of long texts


def weigh(rows: csr_matrix | np.ndarray, idf: np.ndarray | None) -> csr_matrix | np.ndarray:
    """Features times `idf`, every row then of length one; what training and serving share.

    `rows` is (n, size), sparse or dense, and is not changed. A row of nothing stays nothing.
    """
    if isinstance(rows, np.ndarray):
        weighed = rows.astype(np.float32) if idf is None else (rows * idf).astype(np.float32)
        length = np.sqrt(np.einsum("ij,ij->i", weighed, weighed))
        return weighed / np.where(length, length, 1.0).astype(np.float32)[:, None]
    csr = rows.tocsr(copy=True)
    data = csr.data.astype(np.float32)
    if idf is not None:
        data *= idf[csr.indices]
    counts = np.diff(csr.indptr)
    squares = np.add.reduceat(np.append(data * data, np.float32(0)), csr.indptr[:-1])
    length = np.sqrt(np.where(counts, squares, 1.0))
    csr.data = data / np.repeat(np.where(length, length, 1.0), counts).astype(np.float32)
    return csr


def pick(rows: csr_matrix | np.ndarray, columns: np.ndarray | None) -> csr_matrix | np.ndarray:
    """The kept `columns` of features (n, size), in their ascending order; all of them for None."""
    if columns is None:
        return rows
    if isinstance(rows, np.ndarray):
        return rows[:, columns]
    return _pick(rows.tocsr(), columns, _places(columns, rows.shape[1]))


def _places(columns: np.ndarray, size: int) -> np.ndarray:
    """For each of `size` features its place among the kept `columns`, -1 for a dropped one."""
    places = np.full(size, -1, np.int32)
    places[columns] = np.arange(len(columns), dtype=np.int32)
    return places


def _pick(csr: csr_matrix, columns: np.ndarray, places: np.ndarray) -> csr_matrix:
    from scipy.sparse import csr_matrix

    kept = places[csr.indices]
    mask = kept >= 0
    ends = np.concatenate(([0], np.cumsum(mask)))[csr.indptr]
    picked = csr_matrix((csr.data[mask], kept[mask], ends), shape=(csr.shape[0], len(columns)))
    picked.has_sorted_indices = csr.has_sorted_indices
    return picked


class LinearEngine:
    """Answers from a `linear` version. See `Engine` for the meaning of each method."""

    def __init__(self, folder: Path, card: Card) -> None:
        self.card = card
        self._task = tasks.get(card.schema.task)
        self._features = self._task.features(card.schema.settings)
        coef, self._intercept, self._idf, self._columns = _read(folder, len(card.schema.labels))
        self._places = (
            None if self._columns is None else _places(self._columns, self._features.size)
        )
        self._coef = np.ascontiguousarray(coef.T)  # a feature's weights lie together
        self._lock = threading.Lock()
        self._usage = Usage()
        self._closed = False
        # Pictures are decoded beside the event loop, by as many threads as there are cores; texts
        # take less time than the way to a thread.
        self._pictures: ThreadPoolExecutor | None = None
        if any(column.kind == "image" for column in self._task.columns):
            self._pictures = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "feilun-pictures")

    @property
    def info(self) -> Mapping[str, Any]:
        return {
            "engine": "linear",
            "device": "CPU",
            "precision": self.card.precision,
            "streams": 1,
            "threads": 1,
            "batch": _SLICE,
            "waiting": 0,
            "vectors": False,
        }

    @property
    def usage(self) -> Usage:
        return self._usage

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        if not items:
            return np.zeros((0, len(self.card.schema.labels)), np.float32)
        rows = weigh(self._kept(self._features.transform(items)), self._idf)
        return np.asarray(rows @ self._coef + self._intercept, np.float32)

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        outputs: list[Output] = []
        for start in range(0, len(items), 1024):
            outputs += self._answer(items[start : start + 1024], all_scores)[0]
        return outputs

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        outputs: list[Output] = []
        seconds = 0.0
        for start in range(0, len(request.items), _SLICE):
            if request.deadline is not None and monotonic() > request.deadline:
                raise Overloaded("engines.too_late", retry_after=1.0)
            if start:
                await asyncio.sleep(0)
            items = request.items[start : start + _SLICE]
            if self._pictures is None:
                part, took = self._answer(items, request.all_scores)
            else:
                loop = asyncio.get_running_loop()
                part, took = await loop.run_in_executor(
                    self._pictures, self._answer, items, request.all_scores
                )
            outputs += part
            seconds += took
        yield Chunk(outputs, Usage(inputs=len(outputs), engine_seconds=seconds))

    def contributions(
        self, item: Item, label: int, other: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The columns that `item` has, ascending, and what each adds to the log-odds of `label`
        against `other` (places among the labels); None where features are not sparse. With the
        intercept they add up to the log-odds of the answer."""
        features = self._features.transform([item])
        if isinstance(features, np.ndarray):
            return None
        row = weigh(self._kept(features), self._idf)
        assert not isinstance(row, np.ndarray)
        kept = row.indices
        difference = self._coef[kept, label] - self._coef[kept, other]
        amounts = row.data.astype(np.float64) * difference / self.card.temperature
        return (kept if self._columns is None else self._columns[kept]), amounts

    def warm_up(self) -> None:
        self.logits(self._task.example_items())

    def close(self) -> None:
        self._closed = True
        if self._pictures is not None:
            self._pictures.shutdown(wait=False)

    def _kept(self, rows: csr_matrix | np.ndarray) -> csr_matrix | np.ndarray:
        if self._columns is None or self._places is None or isinstance(rows, np.ndarray):
            return pick(rows, self._columns)
        return _pick(rows.tocsr(), self._columns, self._places)

    def _answer(self, items: Sequence[Item], all_scores: bool) -> tuple[list[Output], float]:
        start = perf_counter()
        card = self.card
        logits = self.logits(items)
        outputs = self._task.decode(logits, card.schema, card.temperature, all_scores, card.rule)
        took = perf_counter() - start
        with self._lock:
            known = self._usage
            self._usage = Usage(
                inputs=known.inputs + len(items), engine_seconds=known.engine_seconds + took
            )
        return outputs, took


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> LinearEngine:
    """Opens a `linear` version; it answers in its caller's thread, so it takes no streams."""
    return LinearEngine(folder, card)


def _read(
    folder: Path, labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
        coef, intercept = tensors["coef"], tensors["intercept"]
        idf, columns = tensors.get("idf"), tensors.get("columns")
    except (OSError, KeyError, SafetensorError) as error:
        raise CorruptArtifact("engines.bad_weights", file=path, reason=repr(error)) from None
    fits = coef.ndim == 2 and coef.shape[0] == labels and intercept.shape == (labels,)
    per_column = [tensor for tensor in (idf, columns) if tensor is not None]
    if not fits or any(tensor.shape != coef.shape[1:] for tensor in per_column):
        shapes = [f"{name} {tensor.shape}" for name, tensor in sorted(tensors.items())]
        raise CorruptArtifact("engines.bad_shapes", file=path, shapes=shapes, labels=labels)
    return coef, intercept, idf, columns
