"""Vectors of the texts in a table's columns, by an encoder that stays as it is.

A version keeps it in ``encoder/``: an OpenVINO model, its tokenizer, and a card whose task is that
of one text, because a cell is read as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feilun.engines.array import ArrayEngine
from feilun.engines.card import read_card
from feilun.engines.dense import EncoderRequests
from feilun.engines.openvino import compiled_model

__all__ = ["ENCODER", "ColumnVectors"]

ENCODER = "encoder"


class ColumnVectors:
    """The encoder in `folder`, on `threads` threads (None: all that the process may use)."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        card = read_card(folder)
        self.width = int(card.extra["width"])
        compiled, streams, _ = compiled_model(folder, card, None, threads)
        requests = EncoderRequests(compiled)
        self._engine = ArrayEngine(folder, card, requests, streams, {}, width=self.width)

    def vectors(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 (len(texts), width); a missing text is read as an empty one. Equal texts are
        read once."""
        place: dict[str, int] = {}
        places = [place.setdefault(text or "", len(place)) for text in texts]
        found: np.ndarray = self._engine.raw(list(place))[places]
        return found

    def close(self) -> None:
        """Ends its threads."""
        self._engine.close()
