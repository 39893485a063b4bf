"""What a task without a base of its own begins from: the organisation's best encoder, where it
tells this task's targets apart better than the usual base does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from feilun.data.content import stored_key
from feilun.errors import FeilunError, NotFound
from feilun.messages import t
from feilun.pipeline.context import VERSION, Context
from feilun.store.dataset import INPUT, Dataset
from feilun.store.files import write_atomically
from feilun.store.records import DataVersion, ModelVersion
from feilun.training import machine
from feilun.training.base_scores import BaseScore, can_tell, drawn, scores
from feilun.training.bases import check, resolve

__all__ = ["UNREADABLE", "Begun", "begin", "own_versions"]

UNREADABLE = 0.2
"""Share of unknown tokens above which a base cannot read the rows: it would learn their gaps."""
_ROWS = 300
"""Training rows that tell bases apart."""
_MOST = 5
"""Own versions that are looked at, the newest of as many projects."""
_SECONDS = 60.0
_SHARE = 0.05
"""Seconds that the look may take, and its share of a time limit."""
_SEEN = 0.01
"""Share of the rows that a version may have learned in another project."""
_FILE = "base-scores.json"
_KEPT = 200


@dataclass(frozen=True, slots=True)
class Begun:
    """The `base` to begin from, a version's name; None for the usual one. `note` says why, and
    `found` what was looked at; nothing where that had been decided before."""

    base: str | None = None
    note: str | None = None
    found: Mapping[str, Any] | None = None


def begin(context: Context, data: DataVersion, dataset: Dataset) -> Begun:
    """Decides for a task whose settings name no base. A project that has learned from one stays
    with it. Versions that have learned rows of this project with their answers are no bases."""
    config, task = context.config, context.task
    if not config.project.own_base or config.project.base is not None or not task.encodes:
        return Begun()
    before = _before(context)
    if before is not None:
        return Begun(before if _there(context, before) else None)
    here = machine.look(context.store.folder, config.training.threads)
    usual = resolve(None, task, context.settings, context.weights)
    _, truth = drawn(dataset, task, _ROWS, config.training.seed)
    if not here.has_torch or isinstance(usual, str) or not can_tell(truth):
        return Begun()
    own = dict(_fitting(context, dataset))
    if not own:
        return Begun()
    found = _scored(context, data, dataset, [*([usual] if usual else []), *own.values()])
    name, score = max(
        ((one, _usable(found.get(folder))) for one, folder in own.items()),
        key=lambda pair: pair[1] if pair[1] is not None else -float("inf"),
    )
    if score is None or (usual is not None and usual not in found):
        return Begun()
    other = _usable(found.get(usual)) if usual is not None else None
    key = "own_base_alone" if other is None else "own_base" if score > other else "own_base_not"
    note = t(
        f"pipeline.{key}",
        base=name,
        usual=task.default_base,
        score=f"{score:.3f}",
        other="–" if other is None else f"{other:.3f}",
        rows=len(truth),
    )
    taken = other is None or score > other
    kept = {
        "base": name,
        "score": score,
        "usual": task.default_base,
        "usual_score": other,
        "rows": len(truth),
        "taken": taken,
    }
    return Begun(name if taken else None, note, kept)


def own_versions(context: Context) -> Iterator[ModelVersion]:
    """The live version of each project whose weights are a network, else its newest."""
    catalog = context.store.catalog
    for project in catalog.projects():
        live = catalog.live(catalog.project(project.name).endpoint)
        usable = [
            one
            for one in catalog.model_versions(project.name)
            if one.weights and one.pruned is None and one.state != "failed"
        ]
        usable.sort(key=lambda one: (live is not None and one.id == live.version, one.number))
        for one in reversed(usable):
            folder = context.weights(one.id)
            if folder is not None and (folder / "config.json").is_file():
                yield one
                break


def _before(context: Context) -> str | None:
    """The base of the newest version of this project that began from one."""
    versions = context.store.catalog.model_versions(context.project)
    names = (one.config.get("rung", {}).get("base_name") for one in reversed(versions))
    return next((str(name) for name in names if name), None)


def _there(context: Context, name: str) -> bool:
    """Whether `name` is a version whose network is still here."""
    try:
        return context.weights(name) is not None
    except NotFound:
        return False


def _fitting(context: Context, dataset: Dataset) -> Iterator[tuple[str, Path]]:
    """The newest own encoders that this task can begin from."""
    others = [one for one in own_versions(context) if one.project != context.project]
    others.sort(key=lambda one: one.created, reverse=True)
    test, train = (set(_contents(dataset, split)) for split in ("test", "train"))
    left = _MOST
    for one in others:
        if not left:
            return
        try:
            folder = context.weights(one.id)
            if folder is None or context.task.unfit(check(folder)) is not None:
                continue
            if any(_knows(learned, dataset, test, train) for learned in _learned(context, one)):
                continue
        except FeilunError:
            continue
        left -= 1
        yield one.id, folder


def _knows(learned: Dataset, dataset: Dataset, test: set[bytes], train: set[bytes]) -> bool:
    """Whether what learned these rows knows answers: to the `test` rows, or, where the targets are
    of the same names, to the `train` rows, which then cannot judge out of fold."""
    known = {*_contents(learned, "train"), *_contents(learned, "validation")}
    if len(test & known) > _SEEN * len(test):
        return True
    names = set(dataset.schema.labels)
    alike = not names or bool(names.intersection(learned.schema.labels))
    return alike and len(train & known) > _SEEN * len(train)


def _learned(context: Context, version: ModelVersion | None) -> Iterator[Dataset]:
    """The data versions that the weights of `version` come from: its own, and those of the versions
    that it began from or went on from. Raises `NotFound` where nobody knows them."""
    catalog = context.store.catalog
    while version is not None:
        yield context.dataset(context.data_of(version))
        rung = version.config.get("rung", {})
        before = rung.get("previous") or rung.get("base_name")
        known = isinstance(before, str) and VERSION.fullmatch(before)
        version = catalog.model_version(str(before)) if known else None


def _contents(data: Dataset, split: Any) -> Iterator[bytes]:
    kinds = list(data.columns.items())
    for batch in data.batches([INPUT + name for name, _ in kinds], split):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield stored_key(kinds, values)


def _usable(found: BaseScore | None) -> float | None:
    """The score of a base that can read the rows."""
    return None if found is None or found.unknown > UNREADABLE else found.score


def _scored(
    context: Context, data: DataVersion, dataset: Dataset, folders: list[Path]
) -> dict[Path, BaseScore]:
    """What is known of these bases on these rows, looked at now where it was not before. What the
    time did not suffice for is missing."""
    training = context.config.training
    settings = context.task_settings()
    keys = {folder: _key(data, settings, training.seed, folder) for folder in folders}
    file = context.store.folder / _FILE
    kept = _read(file)
    missing = [folder for folder in folders if keys[folder] not in kept]
    if missing:
        limit = training.time_limit
        found = scores(
            context.task.name,
            settings,
            dataset.folder,
            missing,
            rows=_ROWS,
            seed=training.seed,
            threads=training.threads,
            seconds=_SECONDS if limit is None else min(_SECONDS, 60 * limit * _SHARE),
        )
        looked = zip(missing, found, strict=True)
        kept |= {keys[folder]: asdict(one) for folder, one in looked if one is not None}
        newest = dict(list(kept.items())[-_KEPT:])
        write_atomically(file, json.dumps(newest).encode(), durable=False)
    return {folder: BaseScore(**kept[key]) for folder, key in keys.items() if key in kept}


def _key(data: DataVersion, settings: Mapping[str, Any], seed: int, folder: Path) -> str:
    looks = [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in folder.iterdir()]
    whole = [data.artifact, settings, seed, str(folder), sorted(looks)]
    return sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return found
    except (OSError, ValueError):
        return {}
