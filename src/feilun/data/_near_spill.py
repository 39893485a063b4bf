"""What of each text waits on disk until all are there: its plain form, its keys."""

from __future__ import annotations

import os
import shutil
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from feilun.data._near_keys import BANDS, GAPS, SKETCH, Keys
from feilun.data._near_plain import Plain
from feilun.store.dataset import writing

__all__ = ["Spill"]

_PIECE = 1 << 18


class Spill:
    """A folder of plain columns, one file each. In memory stays where each text ends: 8 bytes a
    row."""

    def __init__(self, parent: Path | None) -> None:
        with writing(parent or Path(tempfile.gettempdir())):
            self._folder = Path(tempfile.mkdtemp(prefix=".near-", dir=parent))
            names = ["text", "short", "long", "sketch"]
            names += [f"gap{less}{gap}" for less in (0, 1) for gap in range(GAPS)]
            names += [f"band{band}" for band in range(BANDS)]
            self._files = {name: (self._folder / name).open("wb") for name in names}
        self._ends = array("q", [0])
        self._rows = 0
        self._texts = -1

    def add(self, texts: Plain, whole: bytes, ends: np.ndarray, keys: Keys) -> None:
        """Some texts: their plain forms as UTF-8 with the ends of each, and their keys."""
        with writing(self._folder):
            self._files["text"].write(whole)
            self._put("short", self._rows + keys.short)
            self._put("long", self._rows + keys.long)
            self._put("sketch", keys.sketch)
            for less in (0, 1):
                for gap in range(GAPS):
                    self._put(f"gap{less}{gap}", keys.gaps[:, less, gap])
            for band in range(BANDS):
                self._put(f"band{band}", keys.bands[:, band])
        self._ends.frombytes((ends[1:] + self._ends[-1]).astype(np.int64).tobytes())
        self._rows += len(texts)

    def _put(self, name: str, values: np.ndarray) -> None:
        self._files[name].write(np.ascontiguousarray(values).tobytes())

    def finish(self) -> None:
        """All texts are there; reading may begin."""
        with writing(self._folder):
            for file in self._files.values():
                file.close()
        self._texts = os.open(self._folder / "text", os.O_RDONLY)

    def rows(self, kind: str) -> np.ndarray:
        """The rows that have keys of a kind (``short`` or ``long``), in order: int64."""
        return np.fromfile(self._folder / kind, np.int64)

    def sketches(self) -> np.ndarray:
        """The sketches of the ``long`` rows, uint8 (rows, SKETCH)."""
        return np.fromfile(self._folder / "sketch", np.uint8).reshape(-1, SKETCH)

    def keys(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """One column of keys piece by piece: where each piece begins, and its keys, uint64."""
        begin = 0
        with (self._folder / name).open("rb") as file:
            while len(keys := np.fromfile(file, np.uint64, _PIECE)):
                yield begin, keys
                begin += len(keys)

    def text(self, row: int) -> str:
        """The plain form of a row."""
        begin, end = self._ends[row], self._ends[row + 1]
        return os.pread(self._texts, end - begin, begin).decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Takes the folder away."""
        for file in self._files.values():
            with suppress(OSError):  # a full disk is told once, by what wrote
                file.close()
        if self._texts >= 0:
            os.close(self._texts)
            self._texts = -1
        shutil.rmtree(self._folder, ignore_errors=True)
