"""What the verbs return: values that show themselves as tables and travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.data.clean.tally import mended_words
from feilun.durations import spoken
from feilun.families.base import Family
from feilun.messages import has, t
from feilun.render.wording import is_share, level, metric_name
from feilun.table import Result, Table
from feilun.types import Output

__all__ = [
    "Added",
    "Compressed",
    "Deployed",
    "Evaluated",
    "FeedbackAdded",
    "Listing",
    "Predicted",
    "Stage",
    "Turned",
    "going_on",
    "named",
    "percent",
    "score_head",
    "scored",
    "size",
    "tested",
]


def percent(score: Mapping[str, float] | None) -> str:
    """A score with its interval, in percent: ``85.1 (83.0–87.2)``; a dash where there is none."""
    if not score:
        return "–"
    return f"{100 * score['value']:.1f} ({100 * score['low']:.1f}–{100 * score['high']:.1f})"


def scored(metric: str, score: Mapping[str, float] | None) -> str:
    """A score in the unit of its metric: percent for a share, else as it is."""
    if not score or is_share(metric):
        return percent(score)
    value, low, high = (level(metric, score[part]) for part in ("value", "low", "high"))
    return f"{value} ({low}–{high})" if score["low"] >= 0 else f"{value} ({low} … {high})"


def score_head(metrics: Iterable[str]) -> str:
    """What stands above the scores of `metrics`: that they are percentages, where all are."""
    return t("project.score" if all(map(is_share, metrics)) else "project.score_mixed")


def tested(metric: str, score: Mapping[str, float] | None) -> str:
    """A score in a column of its own: one that is no share says what it is."""
    return percent(score) if is_share(metric) else f"{metric_name(metric)} {scored(metric, score)}"


def named(scores: Mapping[str, Mapping[str, float] | None]) -> list[list[str]]:
    """Each metric's name and score; shares among others say that they are percentages."""
    mixed = not all(map(is_share, scores))
    unit = {name: " %" if mixed and is_share(name) and s else "" for name, s in scores.items()}
    return [[metric_name(name), scored(name, s) + unit[name]] for name, s in scores.items()]


def size(count: float | None) -> str:
    """Bytes as people say them."""
    if count is None:
        return "–"
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


_REASONS = 3


def going_on(command: str) -> list[str]:
    """The line that names the next command; none where there is none."""
    return [t("project.next", command=command)] if command else []


@dataclass(frozen=True)
class Listing(Result):
    """A list that is nothing but itself: `rows` for programs, `table` for people."""

    rows: Sequence[Mapping[str, Any]]
    _table: Table

    def tables(self) -> Sequence[Table]:
        return (self._table,)


@dataclass(frozen=True)
class Added(Result):
    """A new data version, or with `version` None what one would be. `report` is what was found out;
    `relabel` is the command that takes labels which differed and were not taken, `append` the one
    that takes rows as new ones which were taken for rows that are here, `next` the one to go on
    with."""

    version: str | None
    unchanged: bool
    report: Mapping[str, Any]
    relabel: str | None = None
    append: str | None = None
    next: str = ""
    _family: Family | None = None

    def tables(self) -> Sequence[Table]:
        report = self.report
        rows = [
            *([[t("project.rows_read"), f"{report['read']:,}"]] if report.get("read") else []),
            [t("project.rows"), f"{report['rows']:,}"],
            [t("project.new_rows"), f"{report['new']:,}"],
            [t("project.duplicates"), f"{report['duplicates']:,}"],
            *([[t("project.near"), f"{report['near']:,}"]] if report.get("near") else []),
            [t("project.bad_rows"), f"{report['bad']:,}"],
        ]
        for source in report["sources"]:
            roles = source["roles"] or {}
            taken = dict(roles.get("inputs") or {})
            for role in ("label", "id", "group", "subject", "time"):
                if roles.get(role) and taken.get(role) != roles[role]:
                    taken[role] = roles[role]
            shown = [name if name == role else f"{role} = {name}" for role, name in taken.items()]
            rows.append([Path(source["name"]).name, "; ".join(shown)])
            # Lists and mappings are told as sentences.
            told = {k: v for k, v in source["details"].items() if not isinstance(v, list | dict)}
            rows += [[f"  {_detail(k)}", _said(v)] for k, v in told.items()]
        notes = [*mended_words(report.get("mended", ())), *report["warnings"]]
        notes += [t("formats.left_out", **one) for one in report.get("reasons", ())[:_REASONS]]
        if report["bad_rows"]:
            notes.append(t("project.bad_rows_at", file=report["bad_rows"]))
        if report.get("corrected"):
            taken = {"rows": report["corrected"], "test": report.get("corrected_test", 0)}
            key = "formats.labels_taken_test" if taken["test"] else "formats.labels_taken"
            notes.append(t(key, **taken))
        if self.relabel:
            notes.append(t("formats.labels_take", command=self.relabel))
        if self.append:
            notes.append(t("formats.rows_append", command=self.append))
        notes += going_on(self.next)
        key = "project.unchanged" if self.unchanged else "project.added"
        if self.version is None:
            key = "project.would_not_add" if self.unchanged else "project.would_add"
        splits = Table(
            "",
            [t("project.split"), t("project.rows"), t("project.labels")],
            [
                [
                    t(f"project.split_{split}"),
                    f"{sum(labels.values()):,}",
                    _counted(labels, self._family),
                ]
                for split, labels in report["counts"].items()
            ],
            notes,
        )
        return (Table(t(key, version=self.version), ["", ""], rows), splits)


def _said(value: Any) -> str:
    return t("project.yes" if value else "project.no") if isinstance(value, bool) else str(value)


def _detail(name: str) -> str:
    key = f"details.{name}"
    return t(key) if has(key) else name


@dataclass(frozen=True)
class Stage(Result):
    """One stage of a turn: its version, what it scored on the test rows with interval, whether it
    went live (`already`: before this turn) and why."""

    version: str
    method: str
    primary: str
    score: Mapping[str, float] | None
    promoted: bool
    verdict: str
    reasons: Sequence[str]
    variant: str | None
    latency_ms: float | None
    bytes: int | None
    seconds: float | None
    already: bool = False


@dataclass(frozen=True)
class Turned(Result):
    """A finished turn of the wheel. `promoted` tells whether a version of it went live, `live` what
    answers now; `reason` why there was nothing to do, where there was not. `report` is the HTML
    report of the last version judged, `search` what was tried before, where it was a search."""

    run: str
    kind: str
    promoted: bool
    live: str | None
    stages: Sequence[Stage]
    report: Path | None
    data_version: str | None = None
    reason: str = ""
    notes: Sequence[str] = ()
    next: str = ""
    search: Result | None = None

    @property
    def rungs(self) -> Sequence[Stage]:
        """`stages` by the name that they had in version 0.1."""
        return self.stages

    def to_json(self) -> dict[str, Any]:
        value = super().to_json()
        return {**value, "rungs": value["stages"]}

    def tables(self) -> Sequence[Table]:
        notes = list(self.notes)
        if self.reason:
            notes.append(self.reason)
        for stage in self.stages:
            notes += [f"{stage.version} ({stage.method}): {reason}" for reason in stage.reasons]
        if self.live:
            notes.append(t("project.live_now", version=self.live))
        if self.report:
            notes.append(t("project.report_at", file=self.report))
        notes += going_on(self.next)
        columns = [
            t("project.version"),
            t("project.method"),
            score_head(stage.primary for stage in self.stages),
            t("project.variant"),
            t("project.latency"),
            t("project.size"),
            t("project.trained_in"),
            t("project.verdict"),
        ]
        rows = [
            [
                stage.version,
                stage.method,
                tested(stage.primary, stage.score),
                stage.variant or "–",
                "–" if stage.latency_ms is None else f"{stage.latency_ms:.1f} ms",
                size(stage.bytes),
                "–" if stage.seconds is None else spoken(stage.seconds),
                t(
                    "project.stays_live"
                    if stage.already
                    else "project.promoted"
                    if stage.promoted
                    else "project.not_judged"
                    if self.kind == "train"
                    else "project.not_promoted"
                ),
            ]
            for stage in self.stages
        ]
        title = t(f"project.turn_{self.kind}")
        searched = self.search.tables() if self.search else ()
        return (*searched, Table(title, columns if rows else (), rows, notes))


@dataclass(frozen=True)
class Evaluated(Result):
    """What a version scores. `metrics` carry intervals; `decision` is the gate's, where it was
    judged on the test rows of the data version `data`; `report` the HTML file. `labels` are the
    scores of each label by itself, where it was judged on a file."""

    version: str
    rows: int
    metrics: Mapping[str, Mapping[str, float] | None]
    verdict: str
    reasons: Sequence[str]
    promote: bool | None
    report: Path | None
    data: str | None = None
    labels: Sequence[Mapping[str, Any]] = ()

    def tables(self) -> Sequence[Table]:
        notes = [note for note in (self.verdict, *self.reasons) if note]
        if self.report:
            notes.append(t("project.report_at", file=self.report))
        rows = named(self.metrics)
        key = "project.evaluated_on" if self.data else "project.evaluated"
        title = t(key, version=self.version, rows=self.rows, data=self.data)
        scores = [t("project.metric"), score_head(self.metrics)]
        if not self.labels:
            return (Table(title, scores, rows, notes),)
        by_label = [
            [
                str(one["label"]),
                f"{one['rows']:,}",
                f"{one['answered']:,}",
                *(percent(one[name]) for name in ("precision", "recall", "f1")),
            ]
            for one in self.labels
        ]
        columns = [t("project.label"), t("project.rows"), t("project.answered_so")]
        columns += [f"{t(f'project.alone_{name}')}, %" for name in ("precision", "recall", "f1")]
        return (Table(title, scores, rows), Table("", columns, by_label, notes))


@dataclass(frozen=True)
class Compressed(Result):
    """The measured variants of a version and the chosen one."""

    version: str
    chosen: str | None
    variants: Mapping[str, Mapping[str, Any]]
    reasons: Sequence[str]

    def tables(self) -> Sequence[Table]:
        columns = [
            t("project.variant"),
            self._metric_name(),
            t("project.latency"),
            t("project.throughput"),
            t("project.size"),
        ]
        rows = [
            [
                name + (" ✓" if name == self.chosen else ""),
                self._figure(figures),
                f"{figures['latency_ms']:.1f} ms",
                f"{figures['throughput']:.0f}/s",
                size(figures["bytes"]),
            ]
            for name, figures in self.variants.items()
        ]
        title = t("project.compressed", version=self.version)
        return (Table(title, columns, rows, self.reasons),)

    def _metric_name(self) -> str:
        found = [figures.get("metric", "accuracy") for figures in self.variants.values()]
        metric = found[0] if found else "accuracy"
        return t("project.accuracy") if metric == "accuracy" else metric_name(metric)

    @staticmethod
    def _figure(figures: Mapping[str, Any]) -> str:
        metric = figures.get("metric", "accuracy")
        value = float(figures[metric])
        return f"{100 * value:.1f}" if metric == "accuracy" else level(metric, value)


@dataclass(frozen=True)
class Deployed(Result):
    """What answers now, what answered before, and the golden requests that proved it. A `role`
    beside the live one has a `share` of the calls, 0 to 1."""

    version: str
    previous: str | None
    forced: bool
    golden: Mapping[str, Any] | None
    notes: Sequence[str] = ()
    role: str = "live"
    share: float = 1.0

    def tables(self) -> Sequence[Table]:
        key, share = f"project.{self.role}_deployed", 100 * self.share
        notes = [t(key, version=self.version, share=share), *self.notes]
        if self.previous and self.role == "live":
            notes.append(t("project.live_before", version=self.previous))
        if self.golden:
            notes.append(t("project.golden", **self.golden))
            if levels := self.golden.get("levels"):
                told = [f"{name} {count:,}" for name, count in levels.items()]
                notes.append(t("project.golden_levels", levels=told))
        return (Table("", (), (), notes),)


@dataclass(frozen=True)
class Predicted(Result):
    """Answers in the order of the inputs; `id` and `usage` when a server gave them. Where it took
    several `calls`, each of these has an ``id`` and a number of ``inputs``."""

    model: str
    inputs: Sequence[str]
    outputs: Sequence[Output]
    id: str | None = None
    usage: Mapping[str, Any] | None = None
    calls: Sequence[Mapping[str, Any]] = ()

    def tables(self) -> Sequence[Table]:
        rows = [
            [_short(text), *answer_words(output)]
            for text, output in zip(self.inputs, self.outputs, strict=True)
        ]
        columns = [t("project.input"), t("project.label"), t("project.probability")]
        if any("label" not in output for output in self.outputs):
            columns = [t("project.input"), t("project.answer"), ""]
        if any("explanation" in output for output in self.outputs):
            columns.append(t("project.because"))
            rows = [[*row, _because(o)] for row, o in zip(rows, self.outputs, strict=True)]
        return (Table(self.model, columns, rows),)


def answer_words(output: Output) -> tuple[str, str]:
    """The answer, and how sure it is or what else it says, in short."""
    if "label" in output:
        return _label(output), f"{output['score']:.3f}"
    rest = {name: value for name, value in output.items() if name != "explanation"}
    first = next(iter(rest.values()), "")
    more = "  ".join(f"{name} {_plain(value)}" for name, value in list(rest.items())[1:])
    return _short(_plain(first)), _short(more)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        return "; ".join(" ".join(map(_plain, one.values())) for one in value) or "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _label(output: Output) -> str:
    label = str(output["label"])
    return t("project.abstained", label=label) if output.get("abstained") else label


def _cell(part: Mapping[str, Any]) -> str:
    """A column of a row and what it holds."""
    value = part["value"]
    return f"{part['column']} = {'–' if value is None else value}"


def _because(output: Output) -> str:
    """The parts that weighed most, with their log-odds; of a picture, where the squares lie. Of an
    answer with several names it is said which of them they speak for."""
    why = output.get("explanation") or {}
    parts = [
        (part["text"] if "text" in part else _cell(part), part["weight"])
        for part in why.get("parts", ())
    ]
    for row, line in enumerate(why.get("grid", ()), 1):
        parts += [(f"{row}·{column}", weight) for column, weight in enumerate(line, 1)]
    parts.sort(key=lambda part: -abs(part[1]))
    told = "  ".join(f"{_short(text, 24)} {weight:+.2f}" for text, weight in parts[:5])
    return f"{why['for']}: {told}" if told and "for" in why and "label" not in output else told


def _short(text: str, most: int = 72) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _counted(labels: Mapping[str, int], family: Family | None) -> str:
    """The first labels with their rows; a colon parts a label that ends like a number from them."""
    called = family.called if family is not None else str
    labels = {called(name): rows for name, rows in labels.items()}
    sign = ":" if any(name[-1:].isdigit() for name in labels) else ""
    return ", ".join(f"{name}{sign} {rows:,}" for name, rows in list(labels.items())[:12])


@dataclass(frozen=True)
class FeedbackAdded(Result):
    """Corrections taken from a file, and the rows that were refused with their reasons."""

    accepted: int
    refused: Sequence[Mapping[str, Any]]
    next: str = ""

    def tables(self) -> Sequence[Table]:
        title = t("project.feedback_added", accepted=self.accepted, refused=len(self.refused))
        rows = [[str(fault["row"]), str(fault["reason"])] for fault in self.refused]
        columns = [t("project.row"), t("project.reason")] if rows else ()
        hints = dict.fromkeys(str(fault.get("hint") or "") for fault in self.refused)
        notes = [f"→ {hint}" for hint in hints if hint]
        return (Table(title, columns, rows, [*notes, *going_on(self.next)]),)
