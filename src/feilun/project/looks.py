"""Turns what the rooms found into results that people look at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from feilun.data.clean.recipe import STEPS
from feilun.errors import FeilunError, UsageError
from feilun.families.base import Family
from feilun.feedback.words import trust_words
from feilun.messages import language, t
from feilun.messages.sentences import from_kept
from feilun.pipeline.context import Context
from feilun.project.advice import command
from feilun.project.data_diff import net
from feilun.project.results import Compressed, Evaluated, Listing, Stage, Turned
from feilun.project.tuning import SearchView
from feilun.store import Store
from feilun.store.records import DataVersion, ModelVersion, Run
from feilun.table import Result, Table
from feilun.tasks.base import Processor

__all__ = [
    "AuditView",
    "audit",
    "base_processor",
    "compressed",
    "evaluated",
    "rendered",
    "report_page",
    "show",
    "turned",
]


@dataclass(frozen=True)
class AuditView(Result):
    """What a look at the data found; the fields are those of `feilun.data.audit.Audit`.
    `media` tells that inputs are bytes, not texts."""

    version: str
    audit: Mapping[str, Any]
    media: bool = False
    _family: Family | None = None

    def tables(self) -> Sequence[Table]:
        found = self.audit
        facts = [
            [t("project.rows"), f"{found['rows']:,}"],
            [
                t("project.bytes_each") if self.media else t("project.lengths"),
                _spread(found["lengths"]),
            ],
        ]
        if found.get("tokens") and not self.media:
            facts.append([t("project.tokens"), _spread(found["tokens"])])
        if found.get("truncated") is not None and not self.media:
            facts.append([t("project.truncated"), f"{100 * found['truncated']:.1f} %"])
        if not self.media:
            facts.append([t("project.chinese"), f"{100 * found['chinese']:.0f} %"])
        facts += [
            [t("project.duplicates"), f"{found['duplicates']:,}"],
            [t("project.conflicts"), f"{found['conflicts']:,}"],
            [t("project.empty"), f"{found['empty']:,}"],
            [t("project.bad_rows"), f"{found['bad']:,}"],
        ]
        called = self._family.called if self._family is not None else str
        labels = [
            [
                called(row["label"]),
                f"{row['rows']:,}",
                f"{100 * row['share']:.1f} %",
                ", ".join(f"{t(f'project.split_{s}')} {n:,}" for s, n in row["splits"].items()),
                row["example"],
            ]
            for row in found["labels"][:20]
        ]
        head = ("label", "rows", "share", "splits", "example")
        columns = [t(f"project.{name}") for name in head]
        title = t("project.audit", version=self.version)
        return (
            Table(title, ["", ""], facts),
            Table("", columns, labels, found["warnings"]),
        )


def _spread(figures: Mapping[str, float]) -> str:
    words: dict[str, Any] = {name: f"{value:,.0f}" for name, value in figures.items()}
    return t("project.spread", **words)


def audit(context: Context, version: DataVersion) -> AuditView:
    """A look at a data version; tokens are counted where a base can be had without a network."""
    from feilun.data.audit import audit as look

    found = look(context.dataset(version), processor=base_processor(context)).to_json()
    # Rows that could not be used are not in the version; what it was made of tells them.
    found["bad"] = version.info.get("bad", found["bad"])
    media = context.task.modality in ("image",)
    return AuditView(version.id, found, media, context.task.family)


def base_processor(context: Context) -> Processor | None:
    """What makes tokens of texts, for a base that is a starter or a local folder."""
    from feilun.training.bases import resolve, starters

    base, task = context.config.project.base, context.task
    if base is not None and "@" not in base and base not in starters(context.settings):
        places = (Path(base).expanduser(), context.settings.workspace / base)
        if not any(place.exists() for place in places):
            return None
    try:
        folder = resolve(base, task, context.settings, context.weights, packed=True)
        settings = context.task_settings()
        return task.counter(folder, settings) if isinstance(folder, Path) else None
    except FeilunError:
        return None


def show(context: Context, version: DataVersion, rows: int) -> Listing:
    """The data versions of the project, newest last, and the first rows of `version`."""
    versions = context.store.catalog.data_versions(context.project)
    listed: list[dict[str, Any]] = [
        {
            "version": v.id,
            "reason": v.reason,
            "rows": sum(sum(split.values()) for split in v.counts.values()),
            "created": v.created,
            **({"equal_to": v.info["used"]} if v.reason == "use" else {}),
            **({"recipe": v.info["recipe"]} if v.info.get("recipe") else {}),
        }
        for v in versions
    ]
    examples = list(islice(context.dataset(version).examples(), rows))
    more = [net(v, before) for before, v in zip([None, *versions], versions, strict=False)]
    shown = [
        [v["version"], _reason(v), f"{v['rows']:,}", net_]
        for v, net_ in zip(listed, more, strict=True)
    ]
    notes = [
        f"[{t(f'project.split_{e.split}')}] {e.label} ← {str(e.item)[:100]}"
        if not isinstance(e.item, bytes)
        else f"[{t(f'project.split_{e.split}')}] {e.label} ← {len(e.item):,} B"
        for e in examples
    ]
    if recipe := version.info.get("recipe"):
        steps = [t(f"clean.name_{name}") for row in recipe for name in row if name in STEPS]
        notes.append(t("clean.shown_note", steps=steps))
    columns = [t(f"project.{name}") for name in ("data_version", "reason", "rows", "diff_net")]
    for kept in context.store.catalog.corpora(context.project):
        listed.append({"corpus": kept["id"], **{k: kept[k] for k in ("rows", "created")}})
        shown.append([kept["id"], t("corpus.corpus"), f"{kept['rows']:,}", ""])
    return Listing(listed, Table(context.project, columns, shown, notes))


def rendered(context: Context, version: DataVersion, rows: int) -> Listing:
    """The first training rows of `version` as a language model is taught them: what is learnt
    stands between ⟦ and ⟧. Behind them all training rows that would teach it nothing, with the
    reason. Raises `UsageError` where the task writes no texts or has no base."""
    from feilun.training.bases import resolve, starters
    from feilun.training.batches import EncodedRows
    from feilun.training.rows import read

    task, settings = context.task, context.task_settings()
    name = context.config.project.base
    base = resolve(name, task, context.settings, context.weights) if task.encodes else None
    data = context.dataset(version)
    found: list[dict[str, Any]] = []
    examples = (one for one in data.examples() if one.split == "train" and one.label)
    for one in islice(examples, rows):
        parts = None
        if isinstance(base, Path):
            parts = task.rendered(base, one.item, str(one.label), settings)
        if parts is None:
            options = list(starters(context.settings)) or ["-"]
            raise UsageError("project.not_rendered", task=task.name, options=options)
        learnt, place = [], 0
        for text, counts in parts:
            if counts:
                learnt.append([place, place + len(text)])
            place += len(text)
        marked = "".join(f"⟦{text}⟧" if counts else text for text, counts in parts)
        text = "".join(text for text, _ in parts)
        found.append({"row": one.row_id, "text": text, "learnt": learnt, "marked": marked})
    notes = [t("project.rendered_note")]
    lessons = task.lessons(base, replace(data.schema, settings=settings)) if found else None
    untaught: list[str] = []
    if lessons is not None:
        taught = read(data, "train")
        untaught = [(taught.ids or ())[place] for place in EncodedRows(taught, lessons).empty]
    if untaught:
        why = t("project.untaught", length=settings["max_length"])
        found = [one for one in found if one["row"] not in untaught]
        found += [
            {"row": row, "text": "", "learnt": [], "marked": why, "reason": why} for row in untaught
        ]
        notes.append(t("project.untaught_note", count=len(untaught)))
    shown = [[one["row"], one["marked"]] for one in found]
    columns = [t("project.row"), t("project.rendered")]
    return Listing(found, Table(version.id, columns, shown, notes))


def _reason(version: Mapping[str, Any]) -> str:
    reason = t(f"project.reason_{version['reason']}")
    if "equal_to" not in version:
        return reason
    return t("clean.equal_to", reason=reason, version=version["equal_to"])


def report_page(store: Store, folder: Path, version: ModelVersion, ref: str) -> Path:
    """A copy of the report where people look for it: ``NAME/reports/NAME@3.html``, which the next
    look replaces; that of a decision ``NAME@3-decision.html``, that of a second one
    ``NAME@3-decision-2.html``, which stay. The artifact stays what it is."""
    refs = [one["report"] for one in version.metrics.get("decisions", ())]
    name = version.id
    if ref in refs:
        number = refs.index(ref) + 1
        name += "-decision" if number == 1 else f"-decision-{number}"
    page = folder / "reports" / f"{name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    aside = page.with_suffix(".new")
    shutil.copyfile(store.artifacts.path(ref) / "report.html", aside)
    aside.replace(page)
    return page


def turned(store: Store, folder: Path, run: Run, *, repeated: bool = False) -> Turned:
    """A finished run as people see it; `repeated` when it had finished before. What is live is
    what answers now: after a rollback that is not what the run had put there."""
    result = run.result
    stages = [_stage(store, raw) for raw in result.get("rungs", ()) if raw["version"]]
    collected = result.get("collected", {})
    notes = [*_learned(run, collected), *map(from_kept, run.plan.get("notes", ()))]
    notes += [from_kept(n) for raw in result.get("rungs", ()) for n in raw.get("notes", ())]
    notes += [
        f"{raw['version']}: {_in(raw, 'robustness')}"
        for raw in result.get("rungs", ())
        if raw["version"] == result.get("live") and raw.get("robustness")
    ]
    notes += [
        f"{raw['version']}: {said}"
        for raw in result.get("rungs", ())[-1:]
        for said in _in(raw, "modalities")
    ]
    if repeated and stages and run.finished:
        notes.append(t("project.repeated", finished=f"{run.finished:%Y-%m-%d %H:%M}"))
    promoted = any(stage.promoted for stage in stages)
    if stages and collected.get("corrections") and not promoted:
        kept = {"corrections": collected["corrections"], "data": collected["data_version"]}
        notes.append(t("project.corrections_kept", **kept))
    live = store.catalog.live(store.catalog.project(run.project).endpoint)
    last = next((raw for raw in reversed(result.get("rungs", ())) if raw.get("report")), None)
    page = None
    if last:
        judged = store.catalog.model_version(last["version"])
        page = report_page(store, folder, judged, last["report"])
    if last and last.get("data"):
        notes.append(t("project.judged_on", rows=last["rows"], data=last["data"]))
    return Turned(
        run=run.id,
        kind=run.kind,
        promoted=promoted,
        live=live.version if live and run.kind != "train" else None,
        stages=stages,
        report=page,
        data_version=result.get("data_version"),
        reason=collected.get("reason", ""),
        notes=notes,
        next=_following(store, run, stages, promoted),
        search=_search(store, folder, run, promoted),
    )


def _following(store: Store, run: Run, stages: Sequence[Stage], promoted: bool) -> str:
    """A look at what went live, or at the last version that did not; of an update that was refused
    its notes say more."""
    if promoted:
        return command(store, run.project, ["evaluate"])
    if not stages or run.kind == "update":
        return ""
    return command(store, run.project, ["evaluate", stages[-1].version])


def _search(store: Store, folder: Path, run: Run, promoted: bool) -> SearchView | None:
    """What the run tried before, and how its settings are kept where they were worth it."""
    found = run.result.get("search")
    if not found:
        return None
    winner = found["winner"]
    tables = {f"training.{winner['method']}": winner["settings"], "task": winner["task"]}
    words = [f"project.base = {json.dumps(winner['base'])}"] if winner["base"] else []
    words += [
        f"{table}.{name} = {json.dumps(value)}"
        for table, values in tables.items()
        for name, value in values.items()
    ]
    kept = t("tune.keep_settings", file=folder / "feilun.toml", settings="; ".join(words))
    called = store.catalog.project(run.project).called
    new = promoted and words and winner["number"] != found["default"]
    return SearchView(called, found, (kept,) if new else ())


def _learned(run: Run, collected: Mapping[str, Any]) -> list[str]:
    """What an update took up, and which new labels it could not yet."""
    notes = [t("project.collected", **collected)] if collected.get("data_version") else []
    if collected.get("data_version") and collected.get("earlier"):
        notes.append(t("project.collected_earlier", rows=collected["earlier"]))
    if collected.get("calls"):
        notes.append(t("project.collected_calls", calls=collected["calls"]))
    if collected.get("corrections") and collected.get("data_version") and "drawn" in collected:
        judging = "project.drawn_judge" if collected["drawn"] else "project.none_drawn"
        notes.append(t(judging, **collected))
    notes += trust_words(collected)
    notes += [t("project.label_learnt", label=one) for one in collected.get("new_labels", ())]
    need = run.config.get("update", {}).get("new_label_rows")
    for label, rows in collected.get("waiting", {}).items():
        notes.append(t("project.label_waits", label=label, rows=rows, need=need))
    return notes


def _in(raw: Mapping[str, Any], name: str) -> Any:
    """The `name` of a stage in the reader's language; as it was said then where it was kept in one
    alone."""
    return raw.get(f"{name}_in", {}).get(language(), raw.get(name, ()))


def _stage(store: Store, raw: Mapping[str, Any]) -> Stage:
    version = store.catalog.model_version(raw["version"])
    primary = version.metrics.get("primary", "accuracy")
    chosen = version.variants.get(version.variant or "", {})
    return Stage(
        version=version.id,
        method=version.method,
        primary=primary,
        score=version.metrics.get("test", {}).get(primary),
        promoted=bool(raw.get("promoted")),
        verdict=raw.get("verdict", ""),
        reasons=_in(raw, "reasons"),
        variant=version.variant,
        latency_ms=chosen.get("latency_ms"),
        bytes=chosen.get("bytes"),
        seconds=raw.get("figures", {}).get("seconds"),
        already=bool(raw.get("already")),
    )


def evaluated(
    store: Store,
    folder: Path,
    version: str,
    judged: Mapping[str, Any],
    beside: Sequence[str] = (),
) -> Evaluated:
    """What the evaluate step found. Nothing goes live by it, so it says what the gate would do;
    what is live has passed it. `beside` are sentences on what the gate does not look at."""
    model = store.catalog.model_version(version)
    reasons: list[str] = list(judged["reasons"])
    if model.state == "live":  # the verdict says so already
        alone = t("evaluation.gate_is_live", name=version)
        reasons = [reason for reason in reasons if reason != alone]
    else:
        passes = judged["promote"]
        reasons.insert(0, t("project.would_pass" if passes else "project.would_be_refused"))
    reasons += [judged["robustness"]] if judged.get("robustness") else []
    reasons += judged.get("modalities", [])
    if judged.get("learned"):
        reasons.append(t("evaluation.left_out_learned", rows=judged["learned"]))
    if judged.get("selected"):
        reasons.append(t("evaluation.left_out_selected", rows=judged["selected"]))
    reasons += beside
    page: Path | None = None
    if judged.get("report"):
        page = report_page(store, folder, model, judged["report"])
        if model.metrics.get("decisions"):
            ref = model.metrics["decisions"][-1]["report"]
            kept = report_page(store, folder, model, ref)
            reasons.append(t("project.decision_at", file=kept))
    return Evaluated(
        version=version,
        rows=judged["rows"],
        metrics=model.metrics["test"],
        verdict=judged["founder"],
        reasons=reasons,
        promote=judged["promote"],
        report=page,
        data=judged.get("data"),
    )


def compressed(store: Store, version: str, packed: Mapping[str, Any]) -> Compressed:
    """What the compress step measured."""
    variants = {
        name: {**figures, "note": from_kept(figures["note"])} if "note" in figures else figures
        for name, figures in packed["variants"].items()
    }
    return Compressed(version, packed["variant"], variants, packed["reasons"])
