"""Turns the corrections that came in since the last update into the next data version."""

from __future__ import annotations

import shutil
from typing import Any

from feilun.data.sources.base import ExampleSource
from feilun.data.versions import build
from feilun.feedback.to_data import SOURCE, to_examples
from feilun.messages import t
from feilun.pipeline.context import Context

__all__ = ["collect"]


def collect(context: Context) -> dict[str, Any]:
    """The new data version, or none with the reason: too few corrections so far. Corrections are
    marked as used only once their version stands in the catalog."""
    catalog, ledger, artifacts = (
        context.store.catalog,
        context.store.ledger,
        context.store.artifacts,
    )
    key = f"{context.run_id}:collect"
    live = catalog.live(catalog.project(context.project).endpoint)
    answer: dict[str, Any] = {"live": live.version if live else None, "data_version": None}
    if live is None:
        return answer | {"reason": t("pipeline.nothing_live", project=context.project)}
    previous = catalog.latest_data(context.project)
    learned = to_examples(ledger, context.project)
    wanted = context.config.update.min_corrections
    if len(learned) < wanted:
        reason = t("pipeline.too_few", have=len(learned), need=wanted)
        return answer | {"reason": reason, "corrections": len(learned)}
    out = artifacts.new()
    try:
        built = build(
            [ExampleSource(SOURCE, [one.example for one in learned])],
            task=context.task,
            settings=context.config.data,
            task_settings=context.task_settings(),
            previous=context.dataset(previous) if previous else None,
            out=out,
            report=context.report,
            new_label_rows=context.config.update.new_label_rows,
        )
        ref = context.store.publish(out, "data").ref
    finally:
        shutil.rmtree(out, ignore_errors=True)
    report = built.to_json()
    report.pop("out")
    version = catalog.add_data_version(
        context.project,
        ref,
        "feedback",
        parent=previous.id if previous else None,
        counts=report["counts"],
        roles=previous.roles if previous else {},
        info=report,
        key=key,
    )
    ledger.mark_used([i for one in learned for i in one.feedback_ids], version.id)
    return answer | {
        "data_version": version.id,
        "corrections": len(learned),
        "new_rows": built.new,
        "corrected": built.corrected,
        "new_labels": list(built.new_labels),
        "waiting": dict(built.waiting),
    }
