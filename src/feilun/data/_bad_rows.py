"""The file of rows that could not be used, with the reason for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from feilun.data.outcome import Notice
from feilun.data.sources.base import BadRow
from feilun.store.dataset import writing

__all__ = ["BadRows"]

_SHOWN = 1000
"""Characters of a value that the file keeps; how many there were stands behind."""


class BadRows:
    """Counts bad rows and, with a `path`, writes one JSON object a line there: ``file``, ``row``,
    ``code``, ``reason`` and the row's ``values``. The file appears when it is closed."""

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self._path = path
        self._file: IO[str] | None = None
        self._reasons: dict[str, list[Any]] = {}

    def add(self, file: str, row: BadRow) -> None:
        """One bad row of `file`."""
        self.count += 1
        reason = self._reasons.setdefault(row.code, [Notice(row.code, row.params), 0])
        reason[1] += 1
        if self._path is None:
            return
        line = {
            "file": file,
            "row": row.number,
            "code": row.code,
            "reason": row.reason(),
            "values": _shown(row.values),
        }
        with writing(self._path):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._aside.open("w", encoding="utf-8", errors="replace")
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    @property
    def _aside(self) -> Path:
        assert self._path is not None
        return self._path.with_name(f".{self._path.name}.part")

    @property
    def path(self) -> Path | None:
        """The file, None when there were no bad rows."""
        return self._path if self._file else None

    def reasons(self) -> tuple[tuple[Notice, int], ...]:
        """Each reason, in the words of its first row, with its rows; the most frequent first."""
        found = sorted(self._reasons.values(), key=lambda pair: -pair[1])
        return tuple((notice, count) for notice, count in found)

    def close(self) -> None:
        """Puts the file in its place. A file of an earlier build is replaced, and removed when
        there were no bad rows this time."""
        if self._path is None:
            return
        with writing(self._path):
            if self._file is None:
                self._path.unlink(missing_ok=True)
            elif not self._file.closed:
                self._file.close()
                self._aside.replace(self._path)


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(value) for name, value in values.items()}


def _short(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,})"
