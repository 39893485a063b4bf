"""Engines that turn arrays into raw outputs: all they share, whatever runs the arrays.

An engine file gives one function, arrays to raw outputs and vectors, that any thread may
call. Encoding, batching, decoding and counting are here, once for training's float and serving's
variants.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from feilun.engines._turns import TURNS
from feilun.engines.batching import BATCH, MULTIPLE, Batcher, plan
from feilun.engines.card import Card
from feilun.engines.linear import LinearEngine
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.tasks import base as tasks
from feilun.tasks.base import Arrays, Encoded
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["STACKED", "ArrayEngine", "Inferred", "processor_folder"]

Inferred = tuple[np.ndarray, np.ndarray | None]
"""Raw outputs (batch, width of the family), and vectors (batch, length) where there are any."""

Infer = Callable[[Arrays], Inferred]

Encode = Callable[[Sequence[Item]], list[Encoded]]

STACKED = "stacked"
"""In a card's ``extra``: the version has weights of instant features, too (see `engines.linear`),
whose raw outputs are added to those of the network."""

_HELD_BYTES = 64 << 20  # of encoded items at once, when a whole list is answered
_HELD_ITEMS = 8192
_PROBE = 32  # items encoded first, to see how large one is
_ROWS = 32  # that are computed at once
_REHEARSED = 128  # longest sequence that `warm_up` shows the engine


def processor_folder(folder: Path, card: Card) -> Path:
    """Where a version keeps its processor: a `head` has it beside the encoder that it stands on."""
    return folder / "encoder" if card.format == "head" else folder


class ArrayEngine:
    """An engine around `infer`, which may run on `streams` threads at once.

    `facts` are the engine's own part of `info`. See `Engine` for the meaning of each method.
    """

    def __init__(
        self,
        folder: Path,
        card: Card,
        infer: Infer,
        streams: int,
        facts: Mapping[str, Any],
        *,
        width: int | None = None,
    ) -> None:
        """`width` is that of the raw outputs where it is not the family's."""
        self.card = card
        self._folder = folder
        self._task = tasks.of(card.schema)
        self._processor = self._task.processor(processor_folder(folder, card), card.schema.settings)
        self._encode: Encode = self._processor.encode
        if card.extra.get(STACKED):
            self._encode = _beside(self._encode, LinearEngine(folder, card))
        self._decode = self._task.family.decoder(card.schema, card.point)
        self._width = width or self._task.family.width(card.schema.labels)
        self._infer = infer
        self._streams = streams
        self._facts = facts
        self._counts_pixels = any(column.kind == "image" for column in self._task.columns)
        self._lock = threading.Lock()
        self._usage = Usage()
        self._pool = ThreadPoolExecutor(streams, "feilun-list")
        self._batcher: Batcher | None = None
        self._closed = False
        TURNS.join(self, streams)

    @property
    def info(self) -> Mapping[str, Any]:
        batcher = self._batcher
        return {
            **self._facts,
            "precision": self.card.precision,
            "streams": self._streams,
            "batch": BATCH,
            "waiting": batcher.waiting if batcher else 0,
            "oldest": batcher.oldest if batcher else None,
        }

    @property
    def usage(self) -> Usage:
        return self._usage

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        result: np.ndarray = np.empty(len(items), dtype=object)
        if self._width:
            result = np.zeros((len(items), self._width), np.float32)
        earlier: list[tuple[np.ndarray, Future[Inferred]]] = []
        for start, part in self._encoded(items):
            # The next part is encoded while this one runs; two parts are held at most.
            running = [
                (start + places, self._pool.submit(self._forward, [part[i] for i in places]))
                for places in plan([item.cost for item in part])
            ]
            for places, future in earlier:
                result[places] = future.result()[0]
            earlier = running
        for places, future in earlier:
            result[places] = future.result()[0]
        return result

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        return self._decode(self.raw(items), all_scores)

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        answered = await self._batching().run(
            request.items, request.all_scores, request.customer, request.deadline
        )
        if not request.vectors:
            for output in answered.outputs:
                output.pop("vector", None)
        cost = answered.cost
        usage = Usage(
            inputs=len(answered.outputs),
            tokens=0 if self._counts_pixels else cost,
            pixels=cost if self._counts_pixels else 0,
            engine_seconds=answered.seconds,
            queue_seconds=answered.queue_seconds,
            encode_seconds=answered.encode_seconds,
        )
        yield Chunk(answered.outputs, usage, answered.costs)

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        return {"inputs": len(request.items)}

    def warm_up(self) -> None:
        """Shows every stream the usual shapes: an engine prepares itself for each new one, which
        costs up to ten times the answer."""
        for batch in self._rehearsal():
            arrays = self._processor.collate(batch, MULTIPLE)
            list(self._pool.map(self._infer, [arrays] * self._streams))
        self._batching()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            batcher = self._batcher
        if batcher:
            batcher.close()
        self._pool.shutdown()
        TURNS.forget(self)

    def abandon(self) -> None:
        """Gives up on the engine where it hangs: its calls fail with `EnvironmentProblem`, and its
        threads are left to themselves."""
        with self._lock:
            self._closed = True
            batcher = self._batcher
        TURNS.forget(self)
        if batcher:
            batcher.abandon()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _batching(self) -> Batcher:
        # Made on first use: whoever only answers whole lists needs no waiting threads. One thread
        # more than streams prepares the next batch while every stream computes.
        with self._lock:
            if self._closed:
                raise EnvironmentProblem("engines.closed")
            if self._batcher is None:
                workers = self._streams + 1
                self._batcher = Batcher(self._encode, self._answer, workers)
            return self._batcher

    def _rehearsal(self) -> Iterator[list[Encoded]]:
        long = [_lengthened(item) for item in self._task.example_items()]
        rows = [row for encoded in self._processor.encode(long) for row in encoded.rows]
        example = max(rows, key=lambda row: row.cost)
        lengths = range(MULTIPLE, min(example.cost, _REHEARSED) + 1, MULTIPLE)
        if any(array.ndim != 1 for array in example.arrays.values()):
            lengths = range(0)  # not a sequence: all items are of one shape
        for length in lengths:
            part = {name: array[:length] for name, array in example.arrays.items()}
            for size in (1, BATCH):
                yield [Encoded(part, length)] * size
        if not lengths:
            yield from ([example] * size for size in (1, BATCH))

    def _answer(self, batch: Sequence[Encoded], all_scores: Sequence[bool]) -> list[Output]:
        raw, vectors = self._forward(batch)
        wanted = any(all_scores)
        outputs = self._decode(raw, wanted)
        if wanted and not all(all_scores):
            for output, all_of_it in zip(outputs, all_scores, strict=True):
                if not all_of_it:
                    output.pop("scores", None)
        if vectors is not None:  # they are there anyway; `submit` drops what nobody asked for
            for output, vector in zip(outputs, vectors, strict=True):
                output["vector"] = vector
        return outputs

    def _forward(self, batch: Sequence[Encoded]) -> Inferred:
        rows = [row for item in batch for row in item.rows]
        # An item that is too long to be read at once has many rows, more than fit into memory.
        parts = [rows[place : place + _ROWS] for place in range(0, len(rows), _ROWS)]
        collated = [self._processor.collate(part, MULTIPLE) for part in parts]
        with TURNS.take(self):
            start = perf_counter()
            found = [self._infer(arrays) for arrays in collated]
            seconds = perf_counter() - start
        outputs = _stacked([one for one, _ in found])
        if not np.isfinite(outputs).all():
            raise CorruptArtifact("engines.not_finite", folder=self._folder)
        raw = self._task.family.gathered(outputs, batch, self.card.schema.labels)
        if STACKED in batch[0].arrays:
            raw = raw + np.stack([item.arrays[STACKED] for item in batch])
        vectors = found[0][1] if len(rows) == len(batch) <= _ROWS else None
        cost = sum(item.cost for item in batch)
        with self._lock:
            known = self._usage
            self._usage = Usage(
                inputs=known.inputs + len(batch),
                tokens=known.tokens + (0 if self._counts_pixels else cost),
                pixels=known.pixels + (cost if self._counts_pixels else 0),
                engine_seconds=known.engine_seconds + seconds,
            )
        return raw, vectors

    def _encoded(self, items: Sequence[Item]) -> Iterator[tuple[int, list[Encoded]]]:
        """Parts of the list, (place of the first, encoded items), each within the bytes allowed."""
        start, size = 0, _PROBE
        while start < len(items):
            part = self._encode(items[start : start + size])
            if start == 0 and len(items) > size:
                each = sum(a.nbytes for item in part for a in item.arrays.values()) // len(part)
                size = min(max(_HELD_BYTES // max(each, 1), _PROBE), _HELD_ITEMS)
                part += self._encode(items[_PROBE:size])
            yield start, part
            start += len(part)


def _beside(encode: Encode, features: LinearEngine) -> Encode:
    """Items encoded, each with the raw outputs of its `features` among its arrays."""

    def encoded(items: Sequence[Item]) -> list[Encoded]:
        both = zip(encode(items), features.raw(items), strict=True)
        return [replace(item, arrays={**item.arrays, STACKED: raw}) for item, raw in both]

    return encoded


def _lengthened(item: Item) -> Item:
    """Its texts many times over."""
    if isinstance(item, Mapping):
        return {name: v * 64 if isinstance(v, str) else v for name, v in item.items()}
    return item * 64 if isinstance(item, str) else item


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Outputs (rows, ...) of several batches in one array; what is shorter is filled with 0."""
    if len(parts) == 1:
        return parts[0]
    shape = np.max([part.shape[1:] for part in parts], axis=0).tolist()
    result = np.zeros((sum(map(len, parts)), *shape), np.float32)
    start = 0
    for part in parts:
        places = tuple(slice(0, size) for size in part.shape[1:])
        result[(slice(start, start + len(part)), *places)] = part
        start += len(part)
    return result
