"""What a training is made from, as a fingerprint: equal inputs give the version that is there."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from feilun.data.content import stored_key
from feilun.pipeline.context import Context
from feilun.store.dataset import INPUT, ROWS, Dataset
from feilun.store.records import ModelVersion
from feilun.training.job import TrainJob
from feilun.training.replan import shortened
from feilun.training.rows import dataset_of

__all__ = ["Inputs", "inputs_of", "made_before"]

Inputs = dict[str, str]
"""``weights``: all that training sees. ``version``: that, and what is made of the weights
afterwards: the variants, the rule, and what the version is compared with as its parent."""


def inputs_of(
    context: Context, job: TrainJob, previous: ModelVersion | None, parent: str | None
) -> Inputs:
    """The fingerprints of `job`. Rows count that are trained on or chosen by: new test rows make
    no other version."""
    config = context.config
    weights = {
        "method": job.method,
        "task": job.task,
        "rows": _rows(dataset_of(job)),
        "base": _base(job.base),
        "previous": previous.weights if previous else None,
        "new": sorted(job.new_rows) if previous else [],
        "replay": job.replay if previous else None,
        "settings": dict(job.settings),
        "task_settings": dict(job.task_settings),
        "seed": job.seed,
        # Artifacts are named by their contents.
        **({"folds": job.folds} if job.folds else {}),
        **({"members": [one.name for one in job.members]} if job.members else {}),
        **({"unlabelled": _file(job.unlabelled / ROWS)} if job.unlabelled else {}),
    }
    digest = _digest(weights)
    after = {
        "weights": digest,
        "parent": parent,
        "compression": config.compression.model_dump(mode="json"),
        "costs": config.evaluation.costs.model_dump(mode="json"),
        "abstain": [config.serving.abstain_below, config.serving.abstain_for],
    }
    return {"weights": digest, "version": _digest(after)}


def made_before(context: Context, inputs: Inputs) -> tuple[ModelVersion | None, bool]:
    """The newest version whose weights were made from these inputs and are still there, and
    whether all that comes after is equal, too."""
    alike = [
        one
        for one in context.store.catalog.model_versions(context.project)
        if one.config.get("inputs", {}).get("weights") == inputs["weights"]
        and one.weights
        and one.pruned is None
        and not shortened(one.metrics.get("training", {}))  # a clock is no input
        and one.state != "failed"
    ]
    same = [one for one in alike if one.config["inputs"]["version"] == inputs["version"]]
    found = same or alike
    return (found[-1] if found else None), bool(same)


def _rows(data: Dataset) -> str:
    whole = sha256(json.dumps(data.schema.labels).encode())
    kinds = list(data.columns.items())
    for split in ("train", "validation"):
        whole.update(split.encode())
        for batch in data.batches(["label", *(INPUT + name for name, _ in kinds)], split):
            for label, *values in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                whole.update(stored_key(kinds, values) + (label or "").encode() + b"\0")
    return whole.hexdigest()


def _file(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def _base(base: Path | str | None) -> Any:
    """A folder by its files, as far as a look at them tells: their sizes and times."""
    if not isinstance(base, Path):
        return base
    files = sorted(file for file in base.rglob("*") if file.is_file())
    looks = [(file, file.stat()) for file in files]
    return [
        [file.relative_to(base).as_posix(), stat.st_size, stat.st_mtime_ns] for file, stat in looks
    ]


def _digest(values: dict[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:32]
