"""How well base models tell the targets of some rows apart, found in a process of its own.

The caller stays free of torch and of its memory, and gets what was found when its seconds are over:
a line of JSON a base, on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feilun.errors import FeilunError
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.training.child import environment
from feilun.training.transferability import logme
from feilun.types import Item

__all__ = ["BaseScore", "can_tell", "drawn", "score", "scores"]

_GRACE = 10.0
"""Seconds after its time at which a process that found no end is given up."""


@dataclass(frozen=True, slots=True)
class BaseScore:
    """Of one base: LogME as `score`, higher tells targets apart better, None where it cannot be
    told; and the share of the rows' tokens that are `unknown` to it."""

    score: float | None
    unknown: float


def drawn(dataset: Dataset, task: TaskBase, rows: int, seed: int) -> tuple[list[Item], np.ndarray]:
    """At most so many training rows with a target, drawn by `seed`: the items and their truth."""
    items = dataset.items("train")
    truth = task.family.truth(dataset.values("label", "train"), dataset.schema.labels)
    known = np.flatnonzero(task.family.known(truth))
    chosen = np.random.default_rng(seed).permutation(known)[:rows]
    chosen.sort()
    return [items[int(row)] for row in chosen], truth[chosen]


def can_tell(truth: np.ndarray) -> bool:
    """Whether these targets can be told apart by vectors: classes, tags or numbers, one a row, that
    are not all alike."""
    return truth.dtype != object and len(truth) > 1 and len(np.unique(truth, axis=0)) > 1


def score(
    task: TaskBase,
    folder: Path,
    settings: Mapping[str, Any],
    threads: int | None,
    items: Sequence[Item],
    truth: np.ndarray,
) -> float:
    """LogME of the vectors that the encoder in `folder` gives the `items`, for their `truth`."""
    from feilun.training.embed import Embedder

    embedder = Embedder(task, folder, dict(settings), threads)
    return logme(embedder.vectors(items, lambda done: None), truth)


def scores(
    task: str,
    settings: Mapping[str, Any],
    data: Path,
    folders: Sequence[Path],
    *,
    rows: int,
    seed: int,
    threads: int | None,
    seconds: float,
) -> list[BaseScore | None]:
    """Each of `folders` on at most `rows` training rows of `data`; None for what `seconds` did not
    suffice for, and for what cannot be read."""
    request = {
        "task": task,
        "settings": dict(settings),
        "data": str(data),
        "folders": [str(folder) for folder in folders],
        "rows": rows,
        "seed": seed,
        "threads": threads,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "feilun.training.base_scores", json.dumps(request)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(threads),
        check=False,
    )
    found: list[BaseScore | None] = [None] * len(folders)
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        place, raw = json.loads(line)
        found[place] = None if raw is None else BaseScore(**raw)
    return found


def main() -> int:
    """What ``python -m feilun.training.base_scores REQUEST`` does."""
    request = json.loads(sys.argv[1])
    # Libraries print to stdout as they please: their file descriptor becomes stderr.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        ends = time.monotonic() + request["seconds"]
        limit = threading.Timer(request["seconds"] + _GRACE, os._exit, (1,))
        limit.daemon = True
        limit.start()
        task = tasks.get(request["task"]).bound(request["settings"])
        items, truth = drawn(Dataset(request["data"]), task, request["rows"], request["seed"])
        for place, folder in enumerate(map(Path, request["folders"])):
            if time.monotonic() > ends:
                break
            try:
                found = asdict(_looked(task, folder, request, items, truth))
            except FeilunError:
                found = None
            out.write(json.dumps([place, found]) + "\n")
            out.flush()
    return 0


def _looked(
    task: TaskBase,
    folder: Path,
    request: Mapping[str, Any],
    items: Sequence[Item],
    truth: np.ndarray,
) -> BaseScore:
    share_of = getattr(task.processor(folder, request["settings"]), "unknown_share", None)
    unknown = float(share_of(items)) if share_of else 0.0
    threads = request["threads"]
    return BaseScore(score(task, folder, request["settings"], threads, items, truth), unknown)


if __name__ == "__main__":
    sys.exit(main())
