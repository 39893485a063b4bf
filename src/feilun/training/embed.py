"""Vectors of many items from a frozen encoder, as fast as this processor gives them.

OpenVINO first: two streams that never wait for each other stay fast while other processes run.
What it cannot convert, torch computes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.engines.batching import plan
from feilun.tasks.base import Arrays, Encoded, Processor, TaskBase
from feilun.training import precision
from feilun.types import Item

if TYPE_CHECKING:
    import torch

__all__ = ["Embedder"]

Infer = Callable[[Arrays], np.ndarray]

_PART = 2048  # items encoded at once: enough to sort by length, few enough to hold pictures


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
        done = 0
        lock = threading.Lock()

        def run(batch: Sequence[Encoded]) -> np.ndarray:
            nonlocal done
            result = self._infer(self._processor.collate(batch))
            with lock:
                done += len(batch)
                tick(done)
            return result

        found: list[tuple[np.ndarray, np.ndarray]] = []
        with ThreadPoolExecutor(self._streams, "feilun-embed") as pool:
            for start in range(0, len(items), _PART):
                encoded = self._processor.encode(items[start : start + _PART])
                batches = plan([item.cost for item in encoded])
                answers = pool.map(run, [[encoded[i] for i in places] for places in batches])
                found += [(start + p, v) for p, v in zip(batches, answers, strict=True)]
        if not found:
            return np.zeros((0, 1), np.float32)
        result = np.empty((len(items), found[0][1].shape[1]), np.float32)
        for places, vectors in found:
            result[places] = vectors
        return result

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
