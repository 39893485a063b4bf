"""Variants on the CPU through OpenVINO; all that a base installation needs to serve.

``model.xml`` and ``model.bin`` were converted by `feilun.compression`. How they are computed is
pinned: left to itself, OpenVINO picks a precision by the processor, and answers change with it.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines.array import ArrayEngine, Inferred
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.tasks.base import Arrays

__all__ = ["FORMATS", "MODEL", "Requests", "compiled_model", "load", "openvino"]

FORMATS = ("openvino",)
MODEL = "model.xml"

_STREAMS = 8

# What an int8 model leaves in floating point stays float32.
_HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}


_first = threading.Lock()


def openvino() -> Any:
    """The library, kept from reporting its use to its maker, as it does unasked when imported."""
    with _first:
        return _imported()


@cache
def _imported() -> Any:
    # Without that package it goes on silently, and so does NNCF.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino as ov

    # It learns NumPy's types with the first array that it sees. Two threads with first arrays at
    # the same moment wait for each other for ever: one holds the interpreter's lock and wants the
    # library's, the other the reverse.
    ov.Type.f32.to_dtype()
    ov.Tensor(np.zeros(1, np.float32))
    return ov


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> ArrayEngine:
    """Compiles the variant; see `compiled_model`."""
    compiled, streams, threads = compiled_model(folder, card, streams, threads)
    facts = {
        "engine": "openvino",
        "device": "CPU",
        "threads": threads,
        "vectors": len(compiled.outputs) > 1,
    }
    return ArrayEngine(folder, card, Requests(compiled), streams, facts)


def compiled_model(
    folder: Path, card: Card, streams: int | None, threads: int | None
) -> tuple[Any, int, int]:
    """The model in `folder`, its streams and its threads. By default it uses all cores that the
    process may, a stream each, but no more than eight streams: beyond them Python could not feed
    them. Raises `CorruptArtifact` for what is no model."""
    ov = openvino()
    threads = threads or len(os.sched_getaffinity(0))
    streams = min(streams or _STREAMS, threads)
    try:
        compiled = ov.Core().compile_model(
            folder / MODEL,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _HINTS[card.precision],
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": False,
            },
        )
    except (KeyError, RuntimeError) as error:
        raise CorruptArtifact(
            "engines.bad_weights", file=folder / MODEL, reason=str(error)
        ) from None
    return compiled, streams, threads


class Requests:
    """Runs the model; each thread that calls has an inference request of its own."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._names = {name for port in compiled.inputs for name in port.names}
        self._vectors = len(compiled.outputs) > 1
        self._own = threading.local()

    def __call__(self, arrays: Arrays) -> Inferred:
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        request.infer(
            {name: array for name, array in arrays.items() if name in self._names},
            share_inputs=True,
        )
        raw = np.array(request.get_output_tensor(0).data, np.float32)
        if not self._vectors:
            return raw, None
        return raw, np.array(request.get_output_tensor(1).data, np.float32)
