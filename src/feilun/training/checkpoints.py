"""Which checkpoints of a killed training can be trusted.

A checkpoint counts once its seal stands: the names and sizes of its files, written last. Scratch
belongs to one job; checkpoints of another are swept away.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from feilun.store.files import write_atomically
from feilun.training.frozen import FOLDER
from feilun.training.job import TrainJob

__all__ = ["JOB", "claim", "half", "last_sealed", "seal", "step_of"]

_SEAL = "sealed.json"
JOB = "job.sha256"
"""In a scratch folder: the mark of the job that it belongs to."""
_PREFIX = "checkpoint-"
_HALF = "bf16.json"


def claim(job: TrainJob) -> None:
    """Makes ``job.scratch`` belong to `job`, and empties it of what an unlike job left there."""
    raw = job.to_json()
    # Where it goes decides nothing, and a deadline nothing that is not kept in scratch.
    raw.pop("out"), raw.pop("deadline")
    mark = hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()
    file = job.scratch / JOB
    job.scratch.mkdir(parents=True, exist_ok=True)
    if file.is_file() and file.read_text("utf-8") == mark:
        return
    file.unlink(missing_ok=True)
    for folder in (*job.scratch.glob(f"{_PREFIX}*"), *job.scratch.glob(FOLDER)):
        shutil.rmtree(folder)
    (job.scratch / _HALF).unlink(missing_ok=True)
    file.write_text(mark, "utf-8")


def half(scratch: Path, measure: Callable[[], bool]) -> bool:
    """Whether this training computes in bfloat16: what `measure` said when it began. Measured
    again beside other work it may come out otherwise, and a training that is gone on with must
    compute as it did."""
    file = scratch / _HALF
    try:
        return bool(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError):
        found = measure()
        write_atomically(file, json.dumps(found).encode())
        return found


def seal(folder: Path) -> None:
    """Declares the checkpoint in `folder` whole."""
    sizes = {f.name: f.stat().st_size for f in sorted(folder.iterdir()) if f.is_file()}
    aside = folder / f".{_SEAL}"
    aside.write_text(json.dumps(sizes), "utf-8")
    aside.replace(folder / _SEAL)


def last_sealed(scratch: Path) -> Path | None:
    """The newest whole checkpoint, or None; those that are not whole are removed."""
    whole = []
    for folder in scratch.glob(f"{_PREFIX}*"):
        if _is_whole(folder):
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    return max(whole, key=step_of, default=None)


def step_of(folder: Path) -> int:
    """The training step after which the checkpoint was written."""
    return int(folder.name.removeprefix(_PREFIX))


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / _SEAL).read_text("utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False
