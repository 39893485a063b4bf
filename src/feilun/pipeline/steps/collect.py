"""Turns the corrections that came in since the last update into the next data version."""

from __future__ import annotations

import shutil
from typing import Any

from feilun.data.clean.mending import Mending
from feilun.data.outcome import BuildReport
from feilun.data.sources.base import ExampleSource
from feilun.data.versions import build
from feilun.feedback.to_data import SOURCE, Learned
from feilun.feedback.words import trust_words
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.pipeline.sifting import sifted, told
from feilun.store.dataset import Dataset
from feilun.store.records import DataVersion
from feilun.store.vault import vault_file

__all__ = ["collect"]


def collect(context: Context) -> dict[str, Any]:
    """The new data version, or none with the reason: too few corrections so far, or none that says
    anything new.

    Corrections are marked as used only once their version stands in the catalog, and the version
    names them, so that a step that was killed in between finishes the marking and learns nothing
    twice. A version of corrections that no model was trained on yet counts as new.
    """
    catalog, ledger = context.store.catalog, context.store.ledger
    live = catalog.live(catalog.project(context.project).endpoint)
    answer: dict[str, Any] = {"live": live.version if live else None, "data_version": None}
    if live is None:
        return answer | {"reason": t("pipeline.nothing_live", project=context.project)}
    previous = catalog.latest_data(context.project)
    if previous is None:
        return answer | {"reason": t("pipeline.no_rows_here", project=context.project)}
    if previous.info.get("run") == context.run_id:
        ledger.mark_used(previous.info["feedback"], previous.id)
        return answer | _found(previous)
    sorted_out = sifted(context, previous)
    learned = list(sorted_out.learned)
    answer["trust"] = trust = told(context, sorted_out)
    wanted = context.config.update.min_corrections
    if len(learned) < wanted:
        if _unlearnt(context, previous):
            return answer | _found(previous)
        reason = t("pipeline.too_few", have=len(learned), need=wanted)
        return answer | {"reason": reason, "corrections": len(learned)} | _waiting(previous)
    version = _add(context, previous, learned, trust)
    ledger.mark_used(_ids(learned), version.id)
    if version.id == previous.id:
        reason = t("pipeline.nothing_learnt", corrections=len(learned))
        return answer | {"reason": reason, "corrections": len(learned)} | _waiting(previous)
    return answer | _found(version)


def _add(
    context: Context, previous: DataVersion, learned: list[Learned], trust: dict[str, Any]
) -> DataVersion:
    """`previous` with what was learned; `previous` itself when it holds all of it already. The
    version tells what was held back and why."""
    artifacts = context.store.artifacts
    out = artifacts.new()
    try:
        built = build(
            [ExampleSource(SOURCE, [one.example for one in learned])],
            task=context.task,
            settings=context.config.data,
            task_settings=context.task_settings(),
            previous=Dataset(artifacts.path(previous.artifact)),
            out=out,
            report=context.report,
            new_label_rows=context.config.update.new_label_rows,
            mending=Mending(vault=vault_file(context.store.folder, context.project)),
        )
        if not _changed(built) and not built.waiting:
            return previous
        ref = context.store.publish(out, "data").ref
    finally:
        shutil.rmtree(out, ignore_errors=True)
    report = built.to_json()
    report.pop("out")
    return context.store.catalog.add_data_version(
        context.project,
        ref,
        "feedback",
        parent=previous.id,
        counts=report["counts"],
        roles=previous.roles,
        info={
            **report,
            # The report of what is trained on it shows these beside the others.
            "warnings": [*report["warnings"], *trust_words({"trust": trust})],
            "changed": _changed(built),
            "corrections": len(learned),
            "feedback": _ids(learned),
            "run": context.run_id,
            "trust": trust,
        },
        key=f"{context.run_id}:collect",
    )


def _changed(built: BuildReport) -> bool:
    # A label that waited and now has enough rows is new, though its rows are not.
    return built.changed or bool(built.new_labels)


def _ids(learned: list[Learned]) -> list[str]:
    return [id_ for one in learned for id_ in one.feedback_ids]


def _unlearnt(context: Context, data: DataVersion) -> bool:
    """Whether `data` came from corrections that no model has been trained on: an update began and
    did not get that far."""
    models = context.store.catalog.model_versions(context.project)
    return bool(data.info.get("changed")) and all(m.data_version != data.id for m in models)


def _waiting(version: DataVersion) -> dict[str, Any]:
    """New labels that wait beside `version`, with their rows."""
    return {"waiting": dict(version.info.get("waiting", {}))}


def _found(version: DataVersion) -> dict[str, Any]:
    """What the version brought. Where that is only labels that still wait for rows, there is
    nothing to train on."""
    info = version.info
    found = {
        "data_version": version.id if info["changed"] else None,
        "corrections": info["corrections"],
        "new_rows": info["new"],
        "corrected": info["corrected"],
        "new_labels": list(info["new_labels"]),
        "near_test": int(info.get("near_test", 0)),
        "trust": dict(info.get("trust", {})),
        **_waiting(version),
    }
    if not info["changed"]:
        found["reason"] = t("pipeline.nothing_learnt", corrections=info["corrections"])
    return found
