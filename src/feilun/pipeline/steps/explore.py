"""Measures the variants of all versions of a project and their cascades, and sets the variant that
is the cheapest within the allowed loss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from feilun.compression import measure
from feilun.compression.base import Export, exporter_of
from feilun.compression.compress import NAME
from feilun.compression.explore import Candidate, Explored, Point
from feilun.compression.explore import explore as measured
from feilun.engines.card import read_card
from feilun.errors import EnvironmentProblem, NotFound, UsageError
from feilun.messages import t
from feilun.messages.sentences import to_kept
from feilun.pipeline.context import Context
from feilun.pipeline.steps.compress import calibrated
from feilun.store.dataset import Dataset
from feilun.store.records import ModelVersion
from feilun.tasks._questions import questions
from feilun.types import Progress

__all__ = ["FRONTIER", "explore"]

FRONTIER = "frontier"
"""In a version's metrics: the table of which it was the chosen point."""


def explore(context: Context) -> dict[str, Any]:
    """The table, the chosen version and variant, and notes. Raises `UsageError` where no version
    could answer the latest data's labels, or no row has one."""
    store = context.store
    data = store.catalog.latest_data(context.project)
    if data is None:
        raise NotFound("project.no_data", project=context.project)
    dataset = context.dataset(data)
    rows = measure.sample(questions(dataset), context.task.family, measure.ROWS)
    if not len(rows):
        raise UsageError("compression.no_rows", data=data.id)
    out = store.artifacts.new()
    try:
        candidates, notes = _candidates(context, dataset, out)
        if not candidates:
            raise UsageError("compression.nothing_to_explore", project=context.project)

        def tick(share: float, name: str) -> None:
            note = t("compression.exploring", name=name)
            context.report(Progress("compress", 100 * share, 100.0, "%", note=note))

        found = measured(candidates, rows, out, context.config, tick)
        _take(context, found)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    chosen = found.chosen
    table = {
        "metric": found.metric,
        "rows": found.rows,
        "data": data.id,
        "currency": context.config.serving.currency,
        "points": [one.to_json() for one in found.points],
    }
    model = store.catalog.model_version(chosen.version)
    store.catalog.update_model_version(chosen.version, metrics={**model.metrics, FRONTIER: table})
    return {**table, "version": chosen.version, "chosen": chosen.name, "notes": notes}


def _candidates(context: Context, dataset: Dataset, out: Path) -> tuple[list[Candidate], list[str]]:
    """Of every method the newest version with the data's labels, in all its variants."""
    newest: dict[str, ModelVersion] = {}
    for version in context.store.catalog.model_versions(context.project):
        if version.weights and not version.pruned and version.state != "failed":
            newest[version.method] = version
    found: list[Candidate] = []
    notes: list[str] = []
    for version in newest.values():
        folder = context.folder(version, "")
        card = read_card(folder)
        if card.schema.labels != dataset.schema.labels:
            continue
        own = out / str(version.number)
        exporter = exporter_of(card.format)
        names: list[str] = []
        if exporter is not None and exporter.unable(folder, card) is None:

            def tick(share: float, note: str) -> None:
                context.report(Progress("compress", 0, 0, note=note))

            job = Export(folder, card, dataset, own, context.config.compression, tick)
            try:
                names, skipped = exporter.export(job)
                notes += skipped
            except EnvironmentProblem as error:
                notes.append(error.message())
        for name in names:
            found.append(Candidate(version.id, version.method, name, own / name))
        if not names:  # a copy: its card gets an operating point
            shutil.copytree(folder, own / card.format, copy_function=shutil.copyfile)
            found.append(Candidate(version.id, version.method, card.format, own / card.format))
    return found, list(dict.fromkeys(notes))


def _take(context: Context, found: Explored) -> None:
    """Publishes the chosen point as the variant of its version."""
    store, point = context.store, found.chosen
    model = store.catalog.model_version(point.version)
    settings = dict(read_card(found.folder).point)
    if not found.settled:
        settings, _ = calibrated(context, found.folder, context.data_of(model))
    kept = store.artifacts.new()
    shutil.copytree(found.folder, kept, dirs_exist_ok=True)
    ref = store.publish(kept, "variant").ref
    name = NAME if found.settled else point.variant
    figures = {**_figures(found, point), "artifact": ref, **settings}
    store.catalog.update_model_version(
        model.id, variant=name, variants={**model.variants, name: figures}
    )


def _figures(found: Explored, point: Point) -> dict[str, Any]:
    plain = point.to_json()
    return {
        "name": NAME if found.settled else point.variant,
        "metric": found.metric,
        found.metric: point.score.value,
        f"{found.metric}_score": plain["score"],
        "loss": point.loss.value,
        "latency_ms": point.latency_ms,
        "throughput": point.throughput,
        "bytes": point.bytes,
        "rows": found.rows,
        **({"note": to_kept(point.note)} if point.note else {}),
    }
