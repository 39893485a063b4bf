"""Durations as people say them: seconds, minutes, hours, and a range where it is a guess."""

from __future__ import annotations

from feilun.messages import Language, t

__all__ = ["about", "spoken"]

_SPREAD = 1.5
"""An estimate is said from so many times less to so many times more."""
_MINUTE, _HOUR = 60.0, 3600.0


def spoken(seconds: float, lang: Language | None = None) -> str:
    """``12 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 100:
        return t("units.seconds", lang, value=f"{seconds:.0f}")
    minutes = round(seconds / _MINUTE)
    if minutes < 100:
        return t("units.minutes", lang, value=str(minutes))
    hours, rest = divmod(minutes, 60)
    if not rest:
        return t("units.hours", lang, value=str(hours))
    return t("units.hours_minutes", lang, hours=hours, minutes=rest)


def about(seconds: float) -> str:
    """An estimate: ``under a minute``, ``2–5 min``, ``1.3–3 h``."""
    low, high = seconds / _SPREAD, seconds * _SPREAD
    if high < _MINUTE:
        return t("units.under_a_minute")
    key, unit = ("units.hours", _HOUR) if low >= 0.75 * _HOUR else ("units.minutes", _MINUTE)
    ends = [_short(low / unit), _short(high / unit)]
    return t(key, value="–".join(dict.fromkeys(ends)))


def _short(value: float) -> str:
    """Two digits are all that an estimate has, and less than one is said as a half."""
    if value >= 3:
        return f"{value:.0f}"
    return f"{max(round(2 * value) / 2, 0.5):g}"
