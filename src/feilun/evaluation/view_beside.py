"""What the report shows beside the evaluation: forgetting, variants, data and training in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from feilun.evaluation.facts import DataFacts, Facts, PeopleFacts, TrainingFacts, VariantFacts
from feilun.evaluation.result import Forgetting
from feilun.evaluation.view import Row, tile
from feilun.messages import LANGUAGES, Language, t
from feilun.messages.sentences import from_kept
from feilun.metrics.scores import Score
from feilun.render import wording
from feilun.render.bilingual import both, say
from feilun.render.frontier import frontier_plot

__all__ = ["view_beside"]

_LABELS = 40
"""Labels that a table shows; the rest is summed up or left to report.json."""
_NOTHING = "–"


def view_beside(facts: Facts, forgetting: Forgetting | None, metric: str) -> Row:
    """Everything of the template that does not come from the evaluation, scores in `metric`."""
    return {
        "forgetting_tiles": _forgetting_tiles(forgetting, metric) if forgetting else [],
        "held": _held(forgetting) if forgetting else [],
        "variants": [_variant(one, metric) for one in facts.variants],
        "frontier": _frontier(facts.frontier) if facts.frontier else None,
        "data": _data(facts.data) if facts.data else None,
        "people": [_people(one) for one in facts.people],
        "base_gain": _base_gain(facts.training),
        "figures": _figures(facts.training) if facts.training else [],
    }


def _forgetting_tiles(found: Forgetting, metric: str) -> list[Row]:
    tiles = [
        tile(
            say("evaluation.forgetting_gained"),
            wording.number(found.gained),
            tone="up" if found.gained else "",
        ),
        tile(
            say("evaluation.forgetting_lost"),
            wording.number(found.forgotten),
            tone="down" if found.forgotten else "",
        ),
    ]
    if found.change is not None:
        change = found.change
        tiles.append(
            tile(
                say("evaluation.forgetting_change"),
                wording.signed(metric, change.value),
                _gain(metric, change),
                "up" if change.low > 0 else "down" if change.high < 0 else "",
            )
        )
    if found.fresh_before is not None and found.fresh_after is not None:
        before, after = found.fresh_before.value, found.fresh_after.value
        tiles.append(
            tile(
                say("evaluation.forgetting_fresh", rows=found.fresh_rows),
                wording.level(metric, after),
                f"{wording.level(metric, before)} → {wording.level(metric, after)}",
            )
        )
    return tiles


def _gain(metric: str, change: Score) -> Any:
    figures = {"metric": metric, "low": change.low, "high": change.high}
    if wording.is_share(metric):
        return say("evaluation.tile_gain", **figures)
    return say("evaluation.tile_gain_plain", **figures)


def _held(found: Forgetting) -> list[Row]:
    """Labels by what was lost, the worst first, as many as are readable."""
    classes = sorted(found.classes, key=lambda one: (one.after - one.before, one.label))
    if len(classes) > _LABELS:
        classes = [one for one in classes if one.after != one.before][:_LABELS]
    rows = []
    for one in classes:
        change = one.after - one.before
        rows.append(
            {
                "label": one.label,
                "rows": wording.number(one.rows),
                "before": wording.share(one.before / one.rows) if one.rows else _NOTHING,
                "after": wording.share(one.after / one.rows) if one.rows else _NOTHING,
                "change": f"+{change}" if change > 0 else f"−{-change}" if change else "0",
                "tone": "up" if change > 0 else "down" if change < 0 else "soft",
            }
        )
    return rows


def _people(one: PeopleFacts) -> Row:
    """Whom people preferred: a sentence for beside the verdict, and a row of figures."""
    value, low, high = (
        f"{100 * part:.1f}" for part in (one.rate.value, one.rate.low, one.rate.high)
    )
    code = "preference.beside_gate" if one.unbiased else "preference.beside_gate_biased"
    named = {"version": one.version, "against": one.against}
    return {
        "sentence": say(code, rate=f"{value} ({low}–{high})", pairs=one.pairs, **named),
        "name": f"{one.version} : {one.against}",
        "value": f"{value} %",
        "range": f"{low} – {high} %",
        "counts": {name: getattr(one, name) for name in ("wins", "losses", "ties", "bad", "pairs")},
    }


def _variant(one: VariantFacts, metric: str) -> Row:
    flips = _NOTHING
    if one.flips is not None:
        sure = "" if one.sure_flips is None else f" ({one.sure_flips})"
        flips = f"{one.flips}{sure}"
    return {
        "name": one.name,
        "accuracy": wording.level(metric, one.accuracy.value) if one.accuracy else _NOTHING,
        "loss": _NOTHING
        if one.loss is None
        else both(
            lambda lang: wording.points(metric, one.loss or 0.0, lang, sign=(one.loss or 0.0) < 0)
        ),
        "flips": flips,
        "latency": _NOTHING if one.milliseconds is None else f"{one.milliseconds:.1f} ms",
        "throughput": _NOTHING if one.per_second is None else wording.number(one.per_second),
        "size": _NOTHING if one.size is None else _bytes(one.size),
        "chosen": one.chosen,
        "note": both(lambda lang: from_kept(one.note, lang)),
    }


def _frontier(table: Mapping[str, Any]) -> Markup:
    metric = str(table["metric"])
    return frontier_plot(
        table["points"],
        across={
            lang: t("project.cost_of_1000", lang, currency=table["currency"]) for lang in LANGUAGES
        },
        up={lang: wording.metric_name(metric, lang) for lang in LANGUAGES},
        percent=wording.is_share(metric),
    )


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _data(facts: DataFacts) -> Row:
    names = {
        "train": "evaluation.split_train",
        "validation": "evaluation.split_validation",
        "test": "evaluation.split_test",
    }
    splits = list(facts.splits)
    labels = {label for counts in facts.splits.values() for label in counts}
    totals = {x: sum(counts.get(x, 0) for counts in facts.splits.values()) for x in labels}
    order = sorted(labels, key=lambda label: (-totals[label], label))
    most = max(totals.values(), default=1) or 1
    rows: list[Row] = [
        {
            "label": label,
            "counts": [wording.number(facts.splits[split].get(label, 0)) for split in splits],
            "total": wording.number(totals[label]),
            "width": round(100 * totals[label] / most, 1),
        }
        for label in order[:_LABELS]
    ]
    rest = order[_LABELS:]
    if rest:
        of_rest = [sum(facts.splits[split].get(x, 0) for x in rest) for split in splits]
        rows.append(_line(say("evaluation.fact_more_labels", count=len(rest)), of_rest))
    sums = [sum(facts.splits[split].values()) for split in splits]
    rows.append(_line(say("evaluation.fact_total"), sums))
    shown = [say(names[split]) if split in names else split for split in splits]
    return {"splits": shown, "rows": rows}


def _line(label: Any, counts: list[int]) -> Row:
    return {
        "label": label,
        "counts": [wording.number(count) for count in counts],
        "total": wording.number(sum(counts)),
        "width": 0,
    }


def _base_gain(facts: TrainingFacts | None) -> Markup | None:
    """What the base is worth beside another, in words."""
    found = facts.base_gain if facts else None
    if found is None:
        return None

    def words(lang: Language) -> str:
        signs = [
            wording.points(found.metric, one, lang)
            for one in (found.gain.value, found.gain.low, found.gain.high)
        ]
        return t(
            "evaluation.base_gain",
            lang,
            gain=signs[0],
            low=signs[1],
            high=signs[2],
            metric=wording.metric_name(found.metric, lang),
            version=found.version,
            base=found.base,
        )

    return both(words)


def _figures(facts: TrainingFacts) -> list[tuple[Any, str]]:
    names = {
        "seconds": "evaluation.figure_seconds",
        "rows": "evaluation.figure_rows",
        "epochs": "evaluation.figure_epochs",
        "steps": "evaluation.figure_steps",
        "resumed_from_step": "evaluation.figure_resumed_from_step",
    }
    return [
        (say(names[name]) if name in names else name, f"{value:,.6g}")
        for name, value in facts.figures.items()
    ]
