"""The robustness of a version as the report and the verdict say it."""

from __future__ import annotations

from typing import Any

from feilun.evaluation.robustness import LARGE, Fall, Robustness
from feilun.messages import Language, has, language, t
from feilun.render import wording
from feilun.render.bilingual import both, say
from feilun.render.svg import bar

__all__ = ["sentence", "view_robustness"]

_REACH = 0.1


def view_robustness(found: Robustness | None) -> dict[str, Any]:
    """What the template's part ``robustness.html`` shows; an empty list of rows leaves it out."""
    if found is None:
        return {"falls": [], "falls_lead": "", "falls_sentence": ""}
    ends = [abs(end) for one in found.falls for end in (one.change.low, one.change.high)]
    reach = max([_REACH, *ends]) * 1.05
    lead = say("robustness.lead", rows=found.rows, total=found.of, confidence=found.confidence)
    return {
        "falls": [_row(one, reach, found.metric) for one in found.falls],
        "falls_lead": lead,
        "falls_sentence": both(lambda lang: sentence(found, lang)) if found.large() else "",
    }


def sentence(found: Robustness | None, lang: Language | None = None) -> str:
    """What the verdict says of large drops, the worst by name; nothing where there is none."""
    large = found.large() if found else ()
    if found is None or not large:
        return ""
    lang = lang or language()
    worst = large[0]
    code = "robustness.verdict" if found.metric == "accuracy" else "robustness.verdict_of"
    figures = {
        "change": _name(worst.name, lang),
        "rows": worst.rows,
        "metric": found.metric,
        "least": worst.before.value,
        "most": worst.after.value,
        "gain": worst.change.value,
        "low": worst.change.low,
        "high": worst.change.high,
    }
    said = wording.fill(code, figures, lang)
    others = [_name(one.name, lang) for one in large[1:]]
    if others:
        more = {"changes": others, "margin": LARGE, "metric": found.metric}
        said += ("" if lang == "zh" else " ") + wording.fill("robustness.verdict_more", more, lang)
    return said


def _name(name: str, lang: Language) -> str:
    """A change in words; one that a task of the user's own brings keeps its name."""
    return t(f"robustness.name_{name}", lang) if has(f"robustness.name_{name}") else name


def _row(one: Fall, reach: float, metric: str) -> dict[str, Any]:
    change = one.change
    low, high = wording.signed(metric, change.low), wording.signed(metric, change.high)
    return {
        "name": both(lambda lang: _name(one.name, lang)),
        "rows": wording.number(one.rows),
        "before": wording.level(metric, one.before.value),
        "after": wording.level(metric, one.after.value),
        "bar": bar((change.value, change.low, change.high), -reach, reach, zero=0.0),
        "value": wording.signed(metric, change.value),
        "range": f"{low} … {high}",
        "turned": wording.number(one.turned),
        "tone": "worse" if change.high < 0 else "better" if change.low > 0 else "",
        "was": one.was,
        "became": one.became,
    }
