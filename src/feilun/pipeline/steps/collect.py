"""Turns the corrections that came in since the last update into the next data version."""

from __future__ import annotations

import shutil
from typing import Any

from feilun.data.clean.mending import Mending
from feilun.data.outcome import BuildReport
from feilun.data.sources.base import AnySource, ExampleSource
from feilun.data.versions import build
from feilun.feedback.kept import SOURCE as CALLS
from feilun.feedback.kept import KeptCall, corrected
from feilun.feedback.to_data import Learned
from feilun.feedback.words import trust_words
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.pipeline.lineage import kept_calls, kept_corrections, tried, unlearnt
from feilun.pipeline.steps.upstream import new_calls, upstream_of
from feilun.pipeline.triage import told as trust_told
from feilun.pipeline.triage import triaged
from feilun.store.drawn import DRAWN, SOURCE, Released
from feilun.store.records import DataVersion
from feilun.store.vault import vault_file

__all__ = ["collect"]


def collect(context: Context) -> dict[str, Any]:
    """The new data version, or none with the reason: too few corrections so far, or none that says
    anything new. Answers that were drawn at random judge and are no corrections: they come along
    with the next ones. Where calls are passed on to another server, those that were kept are rows,
    too, as soon as there are enough of them and its answers may be learnt from.

    Corrections are marked as used only once their version stands in the catalog, and the version
    names them, so that a step that was killed in between finishes the marking and learns nothing
    twice. Corrections that no version which went live has learned, because their update was refused
    or ended early, count as new.
    """
    catalog, ledger = context.store.catalog, context.store.ledger
    live = catalog.live(catalog.project(context.project).endpoint)
    answer: dict[str, Any] = {"live": live.version if live else None, "data_version": None}
    if live is None:
        return answer | {"reason": t("pipeline.nothing_live", project=context.project)}
    previous = catalog.latest_data(context.project)
    passes_on = upstream_of(context, catalog.model_version(live.version)) is not None
    if previous is None and not passes_on:
        return answer | {"reason": t("pipeline.no_rows_here", project=context.project)}
    if previous is not None and previous.info.get("run") == context.run_id:
        ledger.mark_used(previous.info["feedback"], previous.id)
        return answer | _found(context, previous)
    sorted_out = triaged(context, previous)
    learned = list(sorted_out.learned)
    answer["trust"] = trust = trust_told(context, sorted_out)
    calls, why = _calls(context, previous) if passes_on else ([], "")
    wanted = context.config.update.min_corrections
    have = _training(learned) + kept_corrections(catalog, context.project)
    if why and (previous is None or have < wanted):
        return answer | {"reason": why, "corrections": have} | _waiting(previous)
    if not passes_on and have < wanted:
        reason = t("pipeline.too_few", have=have, need=wanted)
        return answer | {"reason": reason, "corrections": have} | _waiting(previous)
    if not learned and not calls:
        assert previous is not None
        return answer | _found(context, previous)
    version = _add(context, previous, learned, calls, trust)
    ledger.mark_used(version.info["feedback"], version.id)
    found = _found(context, version)
    if found["data_version"] is None:
        trained = _training(learned)
        reason = t("pipeline.nothing_learnt", corrections=trained)
        found |= {"reason": reason, "corrections": trained}
    return answer | found


def _calls(context: Context, previous: DataVersion | None) -> tuple[list[KeptCall], str]:
    """The kept calls that no row of `previous` is made of, where they may be learnt from; and why
    they alone are no reason for an update, else ""."""
    settings = context.config.upstream
    calls = new_calls(context, previous)
    have = len(calls) + kept_calls(context.store.catalog, context.project)
    few = t("pipeline.too_few_calls", have=have, need=settings.min_calls)
    if not settings.learn:
        terms = t("pipeline.upstream_terms", project=context.project, have=have)
        return [], few if have < settings.min_calls else terms
    return calls, few if have < settings.min_calls else ""


def _add(
    context: Context,
    previous: DataVersion | None,
    learned: list[Learned],
    calls: list[KeptCall],
    trust: dict[str, Any],
) -> DataVersion:
    """`previous` with what was learned and the answered `calls`; `previous` itself when it holds
    all of it already. The version tells what was held back and why."""
    artifacts = context.store.artifacts
    before = Released(artifacts.path(previous.artifact)) if previous is not None else None
    feedback = _ids(learned)
    calls, learned = corrected(calls, learned)
    out = artifacts.new()
    try:
        built = build(
            [
                *_call_sources(calls),
                ExampleSource(SOURCE, [one.example for one in learned if not one.drawn]),
                ExampleSource(DRAWN, [one.example for one in learned if one.drawn], split="test"),
            ],
            task=context.task,
            settings=context.config.data,
            task_settings=context.task_settings(),
            previous=before,
            out=out,
            report=context.report,
            new_label_rows=context.config.update.new_label_rows,
            mending=Mending(vault=vault_file(context.store.folder, context.project)),
        )
        if previous is not None and not _changed(built) and not built.waiting:
            return previous
        ref = context.store.publish(out, "data").ref
    finally:
        shutil.rmtree(out, ignore_errors=True)
    report = built.to_json()
    report.pop("out")
    # What the last draw put among the test rows is new to training.
    released = before.released if before is not None else ()
    report["new_ids"] = [*report["new_ids"], *released]
    return context.store.catalog.add_data_version(
        context.project,
        ref,
        "feedback",
        parent=previous.id if previous is not None else None,
        counts=report["counts"],
        roles=previous.roles if previous is not None else {},
        info={
            **report,
            # The report of what is trained on it shows these beside the others.
            "warnings": [*report["warnings"], *trust_words({"trust": trust})],
            "changed": _changed(built),
            "calls": len(calls),
            "corrections": _training(learned) + sum(bool(one.feedback_ids) for one in calls),
            "drawn": len(learned) - _training(learned),
            "released": len(released),
            "feedback": feedback,
            "run": context.run_id,
            "trust": trust,
        },
        key=f"{context.run_id}:collect",
    )


def _call_sources(calls: list[KeptCall]) -> list[AnySource]:
    """Drawn calls are divided by lot, so that some judge; the others train."""
    if not calls:
        return []
    drawn = [one.example for one in calls if one.drawn]
    others = [one.example for one in calls if not one.drawn]
    return [
        ExampleSource(CALLS, drawn, corrects=False),
        ExampleSource(CALLS, others, corrects=False, split="train"),
    ]


def _changed(built: BuildReport) -> bool:
    # A label that waited and now has enough rows is new, though its rows are not.
    return built.changed or bool(built.new_labels)


def _training(learned: list[Learned]) -> int:
    return sum(not one.drawn for one in learned)


def _ids(learned: list[Learned]) -> list[str]:
    return [id_ for one in learned for id_ in one.feedback_ids]


def _waiting(version: DataVersion | None) -> dict[str, Any]:
    """New labels that wait beside `version`, with their rows."""
    return {"waiting": dict(version.info.get("waiting", {}))} if version is not None else {}


def _found(context: Context, version: DataVersion) -> dict[str, Any]:
    """What is to be learned by `version`, with `earlier` corrections of updates that did not go
    live. Where there is only that labels still wait for rows, there is nothing to train on."""
    taken = unlearnt(context.store.catalog, version)
    told = [one.info for one in taken]
    own = version.info.get("corrections", 0) if version.info.get("run") == context.run_id else 0
    found = {
        "data_version": version.id if taken else None,
        "corrections": sum(info["corrections"] for info in told) if taken else own,
        "calls": sum(info.get("calls", 0) for info in told),
        "drawn": sum(info.get("drawn", 0) for info in told),
        "earlier": tried(context.store.catalog, taken),
        "new_rows": sum(info["new"] for info in told),
        "corrected": sum(info["corrected"] for info in told),
        "new_labels": [label for info in told for label in info["new_labels"]],
        "near_test": sum(int(info.get("near_test", 0)) for info in told),
        "trust": dict(version.info.get("trust", {})),
        **_waiting(version),
    }
    if not taken:
        found["reason"] = t("pipeline.nothing_learnt", corrections=own)
    return found
