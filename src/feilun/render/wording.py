"""How figures of an evaluation are said: percent, points and names, in English and Chinese."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from feilun.messages import LANGUAGES, Language, has, t

__all__ = [
    "amount",
    "fill",
    "is_share",
    "level",
    "method_name",
    "metric_name",
    "number",
    "points",
    "share",
    "signed",
]

_UNBOUNDED = frozenset(
    {"log_loss", "r2", "rmse", "mae", "mase", "wql", "bits_per_byte", "perplexity"}
)


def is_share(metric: str) -> bool:
    """Whether the metric runs from 0 to 1 and is said in percent."""
    return metric not in _UNBOUNDED


def metric_name(metric: str, lang: Language | None = None) -> str:
    """``F1`` for ``f1``; a metric that is unknown here keeps its own name."""
    return t(f"metrics.{metric}", lang) if has(f"metrics.{metric}") else metric


def method_name(method: str, lang: Language) -> str:
    """A training method in words; one that is unknown here keeps its own name."""
    key = f"evaluation.method_{method}"
    return t(key, lang) if has(key) else method


def level(metric: str, value: float) -> str:
    """A score: ``84.1%``, or ``0.431`` for a metric without an upper bound."""
    return share(value) if is_share(metric) else f"{value:.3f}".replace("-", "−")


def share(value: float) -> str:
    """``84.1%``; shares that round to 0 or 1 but are neither are not said to be."""
    if 0 < value < 0.0005:
        return "<0.1%"
    if 0.9995 < value < 1:
        return ">99.9%"
    return f"{value * 100:.1f}%"


def amount(value: float) -> str:
    """Two digits that count: ``340``, ``1.2``, ``0.0031``; below zero with a minus sign."""
    if value < 0:
        return f"−{amount(-value)}"
    if value == 0:
        return "0"
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    text = f"{value:.2g}"
    return f"{float(text):.6f}".rstrip("0").rstrip(".") if "e" in text else text


def number(value: float) -> str:
    """A count, with separated thousands."""
    return f"{round(value):,}"


def signed(metric: str, value: float, *, small: bool = False) -> str:
    """A difference without its unit: ``+2.3``, ``−0.4``; `small` ones with a digit more, where
    their sign is what counts."""
    shown, digit = (abs(value) * 100, 1) if is_share(metric) else (abs(value), 3)
    if small and round(shown, digit) < 10**-digit * 2:
        digit += 1
    digits = f"{shown:.{digit}f}"
    if not float(digits):
        return digits
    return ("+" if value > 0 else "−") + digits


def points(
    metric: str,
    value: float,
    lang: Language | None = None,
    *,
    sign: bool = True,
    small: bool = False,
) -> str:
    """A difference with its unit: ``+2.3 points``, and without a sign on request."""
    text = signed(metric, value, small=small)
    text = text if sign else text.lstrip("+−")
    return t("evaluation.points", lang, value=text) if is_share(metric) else text


def _within(name: str) -> str:
    """A name inside a sentence: ``accuracy``, but ``F1`` and ``ROC-AUC`` as they are."""
    return name if name[1:2].isupper() or name[1:2].isdigit() else name[:1].lower() + name[1:]


def fill(code: str, params: Mapping[str, Any], lang: Language) -> str:
    """The sentence `code`. Figures are given raw and said by their name: ``gain``, ``plain``,
    ``expected``, ``margin``, ``luck`` in points, ``low``, ``high`` as signed differences, ``value``
    as a score of ``metric``, ``now_cost`` and ``before_cost`` as amounts, ``risk`` and ``part`` in
    percent, ``slice`` by its name in each language, ``method`` and ``metric`` by name;
    whole numbers as counts."""
    metric = str(params.get("metric", "accuracy"))
    return t(code, lang, **{name: _said(name, one, metric, lang) for name, one in params.items()})


def _cost(value: float) -> str:
    """Two digits that count, however small: the cost of a fast model is millionths of a unit."""
    return f"{Decimal(f'{value:.2g}'):f}"


def _said(name: str, value: Any, metric: str, lang: Language) -> Any:
    by_name: dict[str, Callable[[], Any]] = {
        "metric": lambda: _within(metric_name(metric, lang)),
        "method": lambda: method_name(str(value), lang),
        "slice": lambda: value[LANGUAGES.index(lang)],
        **dict.fromkeys(("gain", "best_gain", "plain"), lambda: points(metric, value, lang)),
        "expected": lambda: points(metric, value, lang, small=True),
        **dict.fromkeys(("margin", "luck"), lambda: points(metric, value, lang, sign=False)),
        **dict.fromkeys(("low", "high", "best_low", "best_high"), lambda: signed(metric, value)),
        **dict.fromkeys(("now_cost", "before_cost"), lambda: _cost(value)),
        **dict.fromkeys(("value", "least", "most"), lambda: level(metric, value)),
        **dict.fromkeys(("confidence", "limit"), lambda: f"{round(value * 100, 2):g}%"),
    }
    if name in by_name:
        return by_name[name]()
    if isinstance(value, float):
        return share(value)
    return number(value) if isinstance(value, int) else value
