"""Vectors of many items from a frozen encoder, as fast as this processor gives them.

OpenVINO first: two streams that never wait for each other stay fast while other processes run.
What it cannot convert, torch computes.
"""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.engines.batching import plan
from feilun.families.objective import IGNORED, Objective
from feilun.tasks.base import Arrays, Encoded, Processor, TaskBase
from feilun.training import precision
from feilun.types import Item

if TYPE_CHECKING:
    import torch

__all__ = ["Embedder"]

Infer = Callable[[Arrays], np.ndarray]

_PART = 2048  # items encoded at once: enough to sort by length, few enough to hold pictures
_POSITIONED = 256  # the same where each has many vectors


class _Ticker:
    """Adds up what threads have done, for one listener."""

    def __init__(self, tick: Callable[[int], None]) -> None:
        self._tick, self._done, self._lock = tick, 0, threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._tick(self._done)


class Embedder:
    """The frozen encoder of a `base` folder, ready for many calls.

    `threads` is how many CPU threads it may use; by default those that the process has.
    """

    def __init__(
        self, task: TaskBase, base: Path, settings: dict[str, Any], threads: int | None = None
    ) -> None:
        self._processor: Processor = task.processor(base, settings)
        self._threads = threads or precision.cores()
        probe = self._processor.collate(self._processor.encode(task.example_items()[:2]))
        module = task.encoder(base)
        infer = _openvino(module, probe, self._threads)
        self.engine = "openvino" if infer else "torch"
        self._infer = infer or _torch(module, self._threads)
        self._streams = self._threads if infer else 1

    def vectors(self, items: Sequence[Item], tick: Callable[[int], None]) -> np.ndarray:
        """Float32 (len(items), width); `tick` hears how many are done."""
        found: list[tuple[np.ndarray, np.ndarray]] = []
        heard = _Ticker(tick)
        for start in range(0, len(items), _PART):
            encoded = self._processor.encode(items[start : start + _PART])
            found += [(start + places, given) for places, given in self._answered(encoded, heard)]
        if not found:
            return np.zeros((0, 1), np.float32)
        result = np.empty((len(items), found[0][1].shape[1]), np.float32)
        for places, vectors in found:
            result[places] = vectors
        return result

    def positions(
        self,
        items: Sequence[Item],
        truth: Sequence[Any],
        objective: Objective,
        most: int,
        tick: Callable[[int], None],
        until: float = math.inf,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of an encoder that gives a vector for each position: those that have a target, float32
        (positions, width), their targets, and the place of their item. Items are read from the
        first on until there are `most` vectors, or the Unix time is `until`."""
        vectors: list[np.ndarray] = []
        targets: list[np.ndarray] = []
        owners: list[np.ndarray] = []
        heard, count = _Ticker(tick), 0
        for start in range(0, len(items), _POSITIONED):
            if count >= most or (start and time.time() >= until):
                break
            encoded = self._processor.encode(items[start : start + _POSITIONED])
            rows = [(row, start + n) for n, item in enumerate(encoded) for row in item.rows]
            for places, given in self._answered([row for row, _ in rows], heard):
                batch = [rows[place] for place in places.tolist()]
                wanted = objective.targets([truth[n] for _, n in batch], [row for row, _ in batch])
                counts = wanted != IGNORED
                vectors.append(given[:, : wanted.shape[1]][counts])
                targets.append(wanted[counts])
                owners.append(np.repeat([n for _, n in batch], counts.sum(axis=1)))
                count += len(targets[-1])
        if not vectors:
            return np.zeros((0, 1), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)
        every = (np.concatenate(one)[:most] for one in (vectors, targets, owners))
        return next(every), next(every), next(every)

    def _answered(
        self, encoded: Sequence[Encoded], heard: _Ticker
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The places of each batch and what the encoder gives for them."""

        def run(places: np.ndarray) -> np.ndarray:
            result = self._infer(self._processor.collate([encoded[n] for n in places.tolist()]))
            heard.add(len(places))
            return result

        batches = plan([item.cost for item in encoded])
        with ThreadPoolExecutor(self._streams, "feilun-embed") as pool:
            yield from zip(batches, pool.map(run, batches), strict=True)

    def save_processor(self, folder: Path) -> None:
        """Writes the processor's files into `folder`."""
        self._processor.save(folder)


def _openvino(module: torch.nn.Module, probe: Arrays, threads: int) -> Infer | None:
    """The module compiled for this processor, or None where OpenVINO does not take it."""
    import torch

    from feilun.engines.openvino import openvino

    ov = openvino()
    example = {name: torch.from_numpy(array) for name, array in probe.items()}
    try:
        with warnings.catch_warnings():
            # Tracing warns of every branch on a shape; a wrong one shows in the check below.
            warnings.simplefilter("ignore")
            model = ov.convert_model(module, example_input=example)
            compiled = ov.Core().compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "bf16" if precision.prefers_bf16() else "f32",
                    "NUM_STREAMS": threads,
                    "INFERENCE_NUM_THREADS": threads,
                    "ENABLE_CPU_PINNING": False,
                },
            )
    except Exception:  # noqa: BLE001 - a model that cannot be converted fails in many ways
        return None
    own = threading.local()
    names = {name for port in compiled.inputs for name in port.names}

    def infer(arrays: Arrays) -> np.ndarray:
        request = getattr(own, "request", None)
        if request is None:
            request = own.request = compiled.create_infer_request()
        request.infer({k: a for k, a in arrays.items() if k in names}, share_inputs=True)
        return np.array(request.get_output_tensor(0).data, np.float32)

    with torch.inference_mode():
        wanted = module(**example).numpy()
    agree = np.allclose(infer(probe), wanted, atol=0.05 * float(np.abs(wanted).max()) + 1e-6)
    return infer if agree else None


def _torch(module: torch.nn.Module, threads: int) -> Infer:
    import torch

    torch.set_num_threads(threads)

    def infer(arrays: Arrays) -> np.ndarray:
        half = precision.prefers_bf16()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            vectors = module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
        return np.asarray(vectors.float().numpy(), np.float32)

    return infer
