"""Answers from documents by vectors and terms together: an encoder in OpenVINO finds passages by
what they mean beside BM25, and the sentence that fits best is the answer.

A version is a `dense` one (see `engines.dense`) whose documents are the passages of a library (see
`_library`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._library import Library
from feilun.engines.card import Card
from feilun.engines.dense import DenseEngine, EncoderRequests
from feilun.engines.openvino import compiled_model

__all__ = ["CONVERTS", "FORMATS", "HybridEngine", "load"]

FORMATS = ("hybrid",)
CONVERTS = False
"""A version is served as it was trained: its vectors are those of this very encoder."""


class HybridEngine(DenseEngine):
    """Answers from a `hybrid` version."""

    def open_catalogue(self, folder: Path) -> int:
        self._library = Library.read(folder, self.card.schema.settings)
        return len(self._library.passages)

    def lexical(self, query: str) -> np.ndarray:
        return self._library.lexical(query)

    def found(self, query: str, scores: np.ndarray, options: Mapping[str, Any]) -> Any:
        return self._library.read_for(query, scores)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> HybridEngine:
    """Compiles the encoder as `engines.openvino` does."""
    compiled, streams, threads = compiled_model(folder, card, streams, threads)
    facts = {"engine": "hybrid", "device": "CPU", "threads": threads, "vectors": True}
    return HybridEngine(folder, card, EncoderRequests(compiled), streams, facts)
