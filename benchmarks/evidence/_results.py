"""What was measured: kept so that a measurement goes on, and told with its interval."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from feilun.metrics.scores import Score

__all__ = ["bits", "interval", "name_of", "once", "over_seeds", "truths", "workplace"]


@contextmanager
def workplace(kept: Path | None) -> Iterator[Path]:
    """The folder in which a measurement is gone on with, or one that goes with it."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def name_of(*words: object) -> str:
    """The name of a folder or file that says what was asked for."""
    return "-".join(re.sub(r"[^\w.=]+", "_", str(word)) for word in words)


def once(file: Path, measure: Callable[[], Any]) -> Any:
    """What `measure` finds, as JSON has it, kept in `file`; what stands there already is not
    measured again."""
    if not file.is_file():
        found = json.dumps(measure())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found + "\n", "utf-8")
    return json.loads(file.read_text("utf-8"))


def bits(right: np.ndarray) -> str:
    """Which rows are right, boolean (rows,), as JSON can keep them."""
    return "".join("01"[one] for one in right.tolist())


def truths(kept: Sequence[str]) -> np.ndarray:
    """What `bits` wrote of several seeds: the share of them that have a row right, (rows,); boolean
    for one seed."""
    found: np.ndarray = np.array([[one == "1" for one in line] for line in kept])
    return found[0] if len(found) == 1 else found.mean(axis=0)


def interval(score: Score, signed: bool = False) -> str:
    """In points."""
    sign = "+" if signed else ""
    value, low, high = (100 * one for one in (score.value, score.low, score.high))
    return f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def over_seeds(found: Sequence[float] | np.ndarray, digits: int = 1) -> str:
    """The mean with half the width of its interval of 95 %, by Student's distribution."""
    said = f"{np.mean(found):.{digits}f}"
    if len(found) < 2:
        return said
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    return f"{said} ± {stats.t.ppf(0.975, len(found) - 1) * error:.{digits}f}"
