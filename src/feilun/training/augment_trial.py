"""Whether copies help, where the training itself is too dear to be done twice: the linear baseline
answers.

The decision is kept in the job's scratch folder: a training that goes on after a kill goes on with
the rows that it began with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from feilun.store.files import write_atomically
from feilun.tasks import base as tasks
from feilun.tasks.base import fit_features
from feilun.training import augment, logistic
from feilun.training.augment import Added
from feilun.training.checkpoints import JOB
from feilun.training.job import TrainJob
from feilun.training.rows import Rows
from feilun.types import Schema

__all__ = ["Decided", "decided"]

_FILE = "augment.json"
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Decided:
    """The rows to learn from beside the originals, None for none, and what is to be said of it."""

    added: Added | None
    notes: tuple[str, ...] = ()


def decided(job: TrainJob, settings: Any, rows: Rows, schema: Schema) -> Decided:
    """What `settings` want for `rows`; for ``auto``, what the trial says. `job.scratch` belongs to
    the job already."""
    found = augment.added(job, settings.augment, settings.augment_share, rows)
    if found is None:
        return Decided(None)
    file = job.scratch / _FILE
    mark = (job.scratch / JOB).read_text("utf-8")
    try:
        kept = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        kept = {}
    if kept.get("job") != mark:
        helps, note = _trial(job, settings, found, schema)
        kept = {"job": mark, "helps": helps, "note": note}
        write_atomically(file, json.dumps(kept, ensure_ascii=False).encode(), durable=False)
    return Decided(found if kept["helps"] else None, (kept["note"],))


def _trial(job: TrainJob, settings: Any, found: Added, schema: Schema) -> tuple[bool, str]:
    if found.asked:
        return True, augment.said(found, None)
    count, family = len(schema.labels), tasks.of(schema).family
    matrix = _features(job, found.more, schema)

    def fit(rows: Rows, weights: np.ndarray | None, origins: np.ndarray) -> logistic.Fitted:
        # Each side with its own columns: words of one row alone count as little as they do there.
        part = _weighed(matrix[: len(rows)])
        nobody = (part[:0], rows.labels[:0])
        return logistic.fit(
            part,
            rows.labels,
            count,
            nobody,
            weights=weights,
            origins=origins,
            groups=rows.groups,
            seed=job.seed,
        )

    own, balance = found.rows.labels, settings.class_weights
    plain = family.weights(own, schema.labels, balance)
    without = fit(found.rows, plain, np.arange(len(found.rows)))
    weights = family.weights(found.more.labels, schema.labels, balance, own)
    with_copies = fit(found.more, weights, found.origins)
    return augment.helps(without, with_copies), augment.said(found, without, with_copies)


def _features(job: TrainJob, rows: Rows, schema: Schema) -> Any:
    from scipy import sparse

    features = fit_features(tasks.of(schema).features(schema.settings), rows.items)
    starts = range(0, len(rows), _CHUNK)
    parts = [features.transform(rows.items[start : start + _CHUNK]) for start in starts]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return sparse.vstack(parts, format="csr")


def _weighed(matrix: Any) -> Any:
    """Features as the linear baseline weighs them."""
    from feilun.engines.linear import pick, weigh

    if isinstance(matrix, np.ndarray):
        return weigh(matrix, None)
    occurs = np.bincount(matrix.indices, minlength=matrix.shape[1])
    columns = np.flatnonzero(occurs >= 2).astype(np.int32)
    idf = (np.log((1 + matrix.shape[0]) / (1 + occurs[columns])) + 1).astype(np.float32)
    return weigh(pick(matrix, columns), idf)
