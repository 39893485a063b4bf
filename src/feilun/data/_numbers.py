"""Numbers as people write them: with separators, signs of currencies, per cent."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

__all__ = ["number"]

_SPACES = re.compile(r"[\s\u00a0\u202f'’_]+")
_PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_GROUPED = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_CODES = re.compile(r"(?i)\b(?:EUR|USD|GBP|CHF|CNY|RMB|JPY|KRW|元|円|원)\b|[元円원]")


def number(value: Any) -> float | None:
    """The number that `value` is; None for nothing. ``1.234,5``, ``1 234.5``, ``€ 12,50``, ``45 %``
    (0.45) and ``(3)`` (-3) are numbers. Raises `ValueError` for what is none, or could be two:
    ``1,234``."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return float(value)
    text = unicodedata.normalize("NFKC", value).replace("−", "-").strip()
    if not text:
        return None
    if _PLAIN.fullmatch(text) or text.lower() in ("nan", "inf", "-inf"):
        return float(text)
    negative = text.startswith("(") and text.endswith(")")
    text = _CODES.sub("", text.strip("()"))
    text = _SPACES.sub("", "".join(c for c in text if unicodedata.category(c) != "Sc"))
    share = text.endswith("%")
    sign, digits = re.fullmatch(r"([-+]?)(.*)", text.removesuffix("%"), re.S).groups()  # type: ignore[union-attr]
    found = float(sign + _with_point(digits))
    return (-found if negative else found) / (100 if share else 1)


def _with_point(digits: str) -> str:
    """The digits with a point for decimals and nothing between thousands."""
    last = max(digits.rfind(","), digits.rfind("."))
    marks = digits.count(",") + digits.count(".")
    if "," not in digits:
        if marks > 1 and _GROUPED.fullmatch(digits):
            return digits.replace(".", "")
        return digits
    if marks == 1:
        if _GROUPED.fullmatch(digits) and not digits.startswith("0"):
            raise ValueError(digits)  # a thousand and some, or one and a bit
        return digits.replace(",", ".")
    if digits.count(digits[last]) > 1:  # the same mark again and again stands between thousands
        whole, decimals = digits, ""
    else:
        whole, decimals = digits[:last], digits[last + 1 :]
    if not _GROUPED.fullmatch(whole) or len(set(whole) & set(",.")) > 1:
        raise ValueError(digits)
    return re.sub("[.,]", "", whole) + ("." + decimals if decimals else "")
