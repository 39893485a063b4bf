"""The audit as one HTML file that opens offline and speaks both languages, and as JSON.

It wears the style sheet of the evaluation's report: one house, one look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feilun import messages
from feilun.data.audit.finding import Finding
from feilun.data.audit.inflation import Inflation
from feilun.data.outcome import Notice
from feilun.messages import Language, t
from feilun.project.looks import AuditView
from feilun.project.results import going_on
from feilun.render.bilingual import both
from feilun.render.page import template
from feilun.store.files import write_atomically
from feilun.table import Table, to_jsonable

__all__ = ["AuditReport", "kept", "render", "stem_of", "write"]

_SHOWN = 60
_TONES = {"bad": "out", "warn": "unsure", "info": "plain"}


@dataclass(frozen=True)
class AuditReport(AuditView):
    """The overview of `AuditView` and what was found. `inflation` is the accuracy that duplicates
    make one believe beside the honest one (None where they could not be weighed); `sample` rows
    were answered unseen with `accuracy`. `page` is the HTML file, beside it lies the same as JSON;
    `suspects` the file of likely wrong labels. `stages` are the seconds of each."""

    findings: Sequence[Finding] = ()
    inflation: Inflation | None = None
    rows: int = 0
    sample: int = 0
    accuracy: float | None = None
    page: Path | None = None
    suspects: Path | None = None
    added: bool = True
    stages: Mapping[str, float] = field(default_factory=dict)
    next: str = ""

    def tables(self) -> Sequence[Table]:
        columns = [t(f"audit.column_{name}") for name in ("severity", "finding", "rows", "cost")]
        rows = [
            [
                t(f"audit.badge_{one.severity}"),
                one.title(),
                f"{one.count:,}",
                one.cost.text() if one.cost else t("audit.cost_unmeasured"),
            ]
            for one in self.findings
        ]
        notes = [] if rows else [t("audit.no_findings")]
        for one in self.findings:
            notes += ["", f"■ {one.title()} · {one.text()}", *_details(one)]
        if not self.added and any(one.mend for one in self.findings):
            notes += ["", t("audit.mend_after_adding")]
        notes += [""] if rows else []
        if self.suspects:
            notes.append(t("audit.suspects_at", file=self.suspects))
        if self.page:
            notes.append(t("audit.page_at", file=self.page))
        notes += going_on(self.next)
        title = t("audit.findings_of", name=self.version)
        return (*super().tables(), Table(title, columns if rows else (), rows, notes))

    def to_json(self) -> dict[str, Any]:
        raw = super().to_json()
        raw["findings"] = [one.to_json() for one in self.findings]
        return raw


def _details(one: Finding) -> list[str]:
    lines = [f"  {t('audit.measured_on')}: {one.basis.text()}"]
    for instance in one.examples:
        said = " ⇄ ".join(
            _said(row.source, row.row_id, row.text, row.label) for row in instance.rows
        )
        note = f" ({instance.note.text()})" if instance.note else ""
        lines.append(f"  · {said}{note}")
    if one.code == "suspects":
        lines.append(f"  {t('audit.review_first', file=one.params['file'])}")
    if one.mend:
        lines += [f"  {t('audit.mends')}: {command}" for command in one.mend]
    else:
        lines.append(f"  {t('audit.mends')}: {t('audit.by_hand', advice=one.advice())}")
    return lines


def _said(source: str, row_id: str, text: str, label: str) -> str:
    placed = text and source.rpartition(":")[2].isdigit()
    place = source if placed else row_id  # a picture is known by its file
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return f"[{place}] {short or t('audit.picture')} = {label}"


def write(report: AuditReport, stem: Path) -> None:
    """Writes ``STEM.html`` and ``STEM.json``. The JSON holds the sentences in both languages and
    nothing of the clock: the same rows give the same file."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        "name": report.version,
        "overview": to_jsonable(report.audit),
        "flattery": report.inflation.to_json() if report.inflation else None,
        "sample": report.sample,
        "accuracy": report.accuracy,
        "findings": [_both_ways(one) for one in report.findings],
    }
    text = json.dumps(to_jsonable(plain), ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(stem.with_name(f"{stem.name}.json"), (text + "\n").encode())
    write_atomically(stem.with_name(f"{stem.name}.html"), render(report).encode())


def stem_of(folder: Path, version: str) -> Path:
    """Where the audit of a data version lies in `folder`, without the ends of its names."""
    return folder / version.replace(":", "-")


def kept(folder: Path, version: str) -> tuple[Finding, ...] | None:
    """What the audit of a data version found, None before there was one."""
    try:
        raw = json.loads(stem_of(folder, version).with_suffix(".json").read_bytes())
    except FileNotFoundError:
        return None
    return tuple(Finding.from_json(one) for one in raw["findings"])


def _both_ways(one: Finding) -> dict[str, Any]:
    raw = one.to_json("en")
    raw["zh"] = {
        "title": one.title("zh"),
        "text": one.text("zh"),
        "advice": one.advice("zh"),
        "basis": one.basis.text("zh"),
        "cost": one.cost.text("zh") if one.cost else None,
    }
    return raw


def render(report: AuditReport, *, lang: Language | None = None) -> str:
    """The page that `write` writes; `lang` (default: the one in force) is shown first."""
    counts = {
        severity: sum(one.severity == severity for one in report.findings)
        for severity in ("bad", "warn", "info")
    }
    state = "bad" if counts["bad"] else "warn" if counts["warn"] else "good"
    wrong = [one for one in report.findings if one.severity == "bad" and one.code != "personal"]
    headline = "private" if counts["bad"] and not wrong else state
    told = {**counts, "bad": len(wrong)}
    return template("audit.html", "feilun.project").render(
        report=report,
        lang=lang or messages.language(),
        tone={"bad": "out", "warn": "unsure", "good": "live"}[state],
        badge=_say(f"audit.badge_{state}"),
        headline=_say(f"audit.headline_{headline}", name=report.version, **told),
        opening=_opening(report),
        inflation=_inflation(report),
        counts=counts,
        findings=[_view(one) for one in report.findings],
        labels=_labels(report),
        facts=_facts(report),
        commands=list(dict.fromkeys(c for one in report.findings for c in one.mend)),
        say=_say,
    )


def _say(key: str, /, **params: Any) -> Any:
    return both(lambda lang: t(key, lang, **params))


def _notice(notice: Notice | None) -> Any:
    return both(notice.text) if notice else None


def _opening(report: AuditReport) -> Any:
    if report.accuracy is None:
        return _say("audit.opening_plain", rows=report.rows)
    params = {"rows": report.rows, "sample": report.sample, "accuracy": report.accuracy}
    return _say("audit.opening", **params)


def _inflation(report: AuditReport) -> dict[str, Any] | None:
    found = report.inflation
    if found is None:
        return None
    naive, honest = found.naive.value, found.honest.value
    points = 100 * (naive - honest)
    said = [_say("audit.flattering", naive=naive, honest=honest, points=points)]
    if found.distinct is not None:
        said.append(_say("audit.flattering_distinct", distinct=found.distinct.value))
    return {
        "said": said,
        "naive": f"{naive:.3f}",
        "honest": f"{honest:.3f}",
        "under": _say("audit.tile_honest_under", low=found.honest.low, high=found.honest.high),
    }


def _view(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code,
        "tone": _TONES[one.severity],
        "badge": _say(f"audit.badge_{one.severity}"),
        "title": both(one.title),
        "text": both(one.text),
        "advice": both(one.advice),
        "basis": _notice(one.basis),
        "cost": _notice(one.cost) or _say("audit.cost_unmeasured"),
        "count": f"{one.count:,}",
        "of": f"{one.of:,}",
        "mend": one.mend,
        "examples": [
            {
                "note": _notice(instance.note),
                "rows": [
                    {
                        "text": row.text,
                        "image": row.image,
                        "label": row.label,
                        "id": row.row_id,
                        "at": row.source,
                    }
                    for row in instance.rows
                ],
            }
            for instance in one.examples
        ],
    }


def _labels(report: AuditReport) -> list[dict[str, Any]]:
    found = report.audit
    words = report._family.stratum_words if report._family is not None else {}
    most = max((row["rows"] for row in found["labels"]), default=1) or 1
    return [
        {
            "label": _say(words[row["label"]]) if row["label"] in words else row["label"] or "–",
            "rows": f"{row['rows']:,}",
            "share": f"{100 * row['share']:.1f} %",
            "width": round(100 * row["rows"] / most, 1),
            "length": f"{row['median_length']:,.0f}",
        }
        for row in found["labels"][:60]
    ]


def _facts(report: AuditReport) -> list[tuple[Any, Any]]:
    found = report.audit
    lengths = found["lengths"]
    key = "project.bytes_each" if report.media else "project.lengths"
    spread = {name: f"{value:,.0f}" for name, value in lengths.items()}
    facts = [(_say("project.rows"), f"{found['rows']:,}")]
    if lengths:
        facts.append((_say(key), _say("project.spread", **spread)))
    if found.get("tokens") and not report.media:
        tokens = {name: f"{value:,.0f}" for name, value in found["tokens"].items()}
        facts.append((_say("project.tokens"), _say("project.spread", **tokens)))
    if not report.media:
        facts.append((_say("project.chinese"), f"{100 * found['chinese']:.0f} %"))
    facts.append((_say("project.bad_rows"), f"{found['bad']:,}"))
    return facts
