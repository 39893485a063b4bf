"""A search as the report and the terminal tell it: the trials over time, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feilun.durations import spoken as duration
from feilun.messages import LANGUAGES, Language, t
from feilun.render.bilingual import both, say
from feilun.render.svg import search_plot
from feilun.render.wording import level, metric_name

__all__ = ["arm_name", "search_sentences", "settings_words", "view_search"]

_SHOWN = 10

Found = Mapping[str, Any]
"""What the step ``search`` returned."""


def view_search(found: Found | None) -> dict[str, Any]:
    """What the template's part ``search.html`` shows; nothing without a search."""
    if found is None:
        return {"search": None}
    metric = found["primary"]
    whole = [one for one in found["trials"] if one["state"] == "complete"]
    points, at = [], 0.0
    for one in found["trials"]:
        at += one["seconds"] or 0.0
        if one["value"] is not None:
            points.append((at / 60, float(one["value"]), one["state"] == "complete"))
    plot = search_plot(
        points,
        higher=found["higher"],
        said=lambda value: level(metric, value),
        across={str(lang): t("tune.report_minutes", lang) for lang in LANGUAGES},
        up={str(lang): metric_name(metric, lang) for lang in LANGUAGES},
    )
    order = sorted(whole, key=lambda one: one["value"], reverse=found["higher"])
    return {
        "search": {
            "sentences": [
                both(lambda lang, place=place: search_sentences(found, lang)[place])  # type: ignore[misc]
                for place in range(len(search_sentences(found, "en")))
            ],
            "title": say("tune.report_title"),
            "plot": plot,
            "rows": [
                {
                    "number": one["number"] + 1,
                    "arm": arm_name(one),
                    "settings": say("tune.as_they_stand")
                    if one["default"]
                    else settings_words(one["given"]),
                    "value": level(metric, one["value"]),
                    "range": ""
                    if one["low"] is None
                    else f"{level(metric, one['low'])} … {level(metric, one['high'])}",
                    "took": both(lambda lang, one=one: duration(one["seconds"] or 0.0, lang)),  # type: ignore[misc]
                    "chosen": one["number"] == found["winner"]["number"],
                }
                for one in order[:_SHOWN]
            ],
        }
    }


def arm_name(one: Found) -> str:
    """The method with its base."""
    return " ".join(filter(None, (one["method"], one["base"])))


def settings_words(given: Mapping[str, Any]) -> str:
    """Settings as they would be written: ``epochs 3, learning_rate 0.0002``."""
    return ", ".join(f"{name} {_short(value)}" for name, value in given.items()) or "–"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def search_sentences(found: Found, lang: Language | None = None) -> list[str]:
    """What there is to say of a search: its best, how it went, what mattered, what it proves."""
    metric, trials = found["primary"], {one["number"]: one for one in found["trials"]}
    best = trials[found["winner"]["number"]]
    figures = {
        "number": best["number"] + 1,
        "arm": arm_name(best),
        "metric": metric_name(metric, lang),
        "value": level(metric, best["value"]),
    }
    first = None if found["default"] is None else trials.get(found["default"])
    if first is None or first is best:
        said = [t("tune.winner_default", lang, **figures)]
    else:
        said = [t("tune.winner", lang, **figures, before=level(metric, first["value"]))]
    states = [one["state"] for one in trials.values()]
    counts = {name: states.count(name) for name in ("complete", "pruned", "failed")}
    said.append(t("tune.ended", lang, **counts))
    shares = [f"{name} {100 * share:.0f} %" for name, share in found["importance"].items()]
    if shares:
        said.append(t("tune.importance", lang, method=found["important"], shares=", ".join(shares)))
    else:
        said.append(t("tune.few_for_importance", lang))
    said.append(t(f"tune.judged_{found['by']}", lang))
    return said
