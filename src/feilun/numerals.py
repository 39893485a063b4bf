"""Numbers as people write them, and which convention a column is written in.

``1,234`` is a thousand and some here and one and a bit there. A cell alone cannot say which, its
column mostly can: ``12,50`` beside it says that commas stand before decimals.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Convention", "Mark", "convention", "parse"]

Mark = Literal[".", ","]
"""What stands before decimals."""

_CURRENCY = (
    r"(?:(?:US|HK|NT|CA?|AU?|NZ|S|R)?[$¢£¤¥฿₠-⃀]"
    r"|EUR|USD|GBP|CHF|CNY|RMB|JPY|KRW|HKD|TWD|SGD|AUD|NZD|CAD|INR|RUB|PLN|CZK|HUF|SEK|NOK|DKK"
    r"|BRL|MXN|ZAR|Fr\.|kr\.?|zł|Kč|Ft|руб\.?|元|圆|圓|块|円|원|人民币|美元|欧元|港元|日元)"
)
_SCALE = {"万": 1e4, "萬": 1e4, "億": 1e8, "亿": 1e8}
_WRITTEN = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+])?\s*(?:{_CURRENCY})?\s*(?P<inner>[-+])?\s*"
    r"(?P<digits>\d(?:[\d.,]|['’ ](?=\d))*|[.,]\d+)(?P<power>e[-+]?\d+)?"
    rf"\s*(?P<scale>[万萬億亿])?\s*(?:{_CURRENCY})?\s*(?P<percent>%)?"
    r"\s*(?P<after>-)?\s*(?P<close>\))?",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_SPACED = re.compile(r"\d{1,3}(?:([ '’])\d{3})(?:\1\d{3})*(?=[.,]|$)")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*")
_UNITS = re.compile(rf"(?P<percent>%)|(?P<currency>{_CURRENCY})", re.IGNORECASE)


def parse(text: str, decimal: Mark | None = None) -> float:
    """The number that `text` is: ``1.234,5``, ``1 234.5``, ``€ 12,50``, ``45 %`` (0.45), ``(3)``
    (-3), ``1.2万`` (12000). `decimal` is what its column has before decimals; without it a lone
    comma before three digits stands between thousands, and a lone point before decimals.

    Raises `ValueError` for what is no number, and for one that `decimal` cannot read.
    """
    text = unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    if _PLAIN.fullmatch(text) and (decimal != "," or "." not in text):
        return float(text)
    found = _WRITTEN.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        raise ValueError(text)
    if found["scale"] and found["percent"]:
        raise ValueError(text)
    signs = [one for one in (found["sign"], found["inner"], found["after"]) if one]
    if len(signs) + bool(found["open"]) > 1:
        raise ValueError(text)
    value = float(_pointed(found["digits"], decimal) + (found["power"] or ""))
    if signs == ["-"] or found["open"]:
        value = -value
    value *= _SCALE.get(found["scale"] or "", 1.0)
    return value / 100 if found["percent"] else value


def _pointed(digits: str, decimal: Mark | None) -> str:
    """The digits with a point before decimals and nothing between thousands."""
    if spaced := _SPACED.match(digits):
        whole = re.sub(r"\D", "", spaced.group())
        rest = digits[spaced.end() :]
        return _fraction(whole, rest[:1], rest[1:], decimal)
    if not digits.isascii() or " " in digits or "'" in digits:
        raise ValueError(digits)
    mark = _decimal_of(digits) or _lone(digits, decimal)
    if mark is None:  # thousands alone, or no mark at all
        marked = "." in digits or "," in digits
        if marked and (not _GROUPED.fullmatch(digits) or (decimal and decimal in digits)):
            raise ValueError(digits)
        return digits.replace(".", "").replace(",", "")
    whole, _, rest = digits.rpartition(mark)
    if ("." in whole or "," in whole) and not _GROUPED.fullmatch(whole):
        raise ValueError(digits)
    return _fraction(re.sub("[.,]", "", whole), mark, rest, decimal)


def _fraction(whole: str, mark: str, rest: str, decimal: Mark | None) -> str:
    if (mark and decimal and mark != decimal) or (rest and not rest.isdigit()):
        raise ValueError(rest)
    return f"{whole or 0}.{rest}" if rest else whole or "0"


def _decimal_of(digits: str) -> Mark | None:
    """What must stand before the decimals of these digits; None where there need be none."""
    points, commas = digits.count("."), digits.count(",")
    last: Mark = "." if digits.rfind(".") > digits.rfind(",") else ","
    if points and commas:
        return last
    if points + commas == 1 and not _GROUPED.fullmatch(digits):
        return last
    return None


def _lone(digits: str, decimal: Mark | None) -> Mark | None:
    """A single mark that could stand between thousands stands before decimals where it is
    `decimal`; of itself a point does, and a comma does not."""
    if digits.count(".") + digits.count(",") != 1:
        return None
    mark: Mark = "." if "." in digits else ","
    return mark if mark == (decimal or ".") else None


@dataclass(frozen=True, slots=True)
class Convention:
    """How the numbers of a column are written: `decimal` before decimals, None where some cells say
    one and some the other, so that each is read by itself. `assumed` where nothing but a rule of
    thumb says so. `example` is a cell that shows it, `percent` the share of its cells with a sign
    for per cent, `currencies` the signs of money in it."""

    decimal: Mark | None
    assumed: bool
    example: str
    percent: float = 0.0
    currencies: tuple[str, ...] = ()


def convention(values: Iterable[Any]) -> Convention | None:
    """How a column of these `values` is written, None where all are plain or no numbers."""
    votes: dict[str, str] = {}  # of each mark the first cell that can mean nothing else
    open_: dict[str, str] = {}
    other, cells, percent = "", 0, 0
    signs: Counter[str] = Counter()
    for value in values:
        if not isinstance(value, str) or not value.strip():
            continue
        text = unicodedata.normalize("NFKC", value).replace("−", "-").strip()
        found = _WRITTEN.fullmatch(text)
        try:
            parse(text)
        except ValueError:
            continue
        cells += 1
        if found is None:
            continue
        for unit in _UNITS.finditer(text):
            percent += bool(unit["percent"])
            signs.update([unit["currency"]] if unit["currency"] else [])
        if not _PLAIN.fullmatch(text):
            other = other or value.strip()
        _vote(found["digits"], value.strip(), votes, open_)
    units = percent / max(1, cells), tuple(sorted(signs))
    if len(votes) == 2:
        return Convention(None, True, f"{votes['.']}, {votes[',']}", *units)
    if "," in votes:
        return Convention(",", False, votes[","], *units)
    if not other:
        return None
    return Convention(".", "," in open_ and not votes, open_.get(",") or other, *units)


def _vote(digits: str, cell: str, votes: dict[str, str], open_: dict[str, str]) -> None:
    """Notes what the digits of a cell say of the marks."""
    if _SPACED.match(digits):
        mark = next((one for one in digits if one in ".,"), "")
        if mark:
            votes.setdefault(mark, cell)
        return
    mark = _decimal_of(digits) or ""
    points, commas = digits.count("."), digits.count(",")
    if mark:
        votes.setdefault(mark, cell)
    elif points > 1 or commas > 1:
        votes.setdefault("," if points else ".", cell)
    elif points or commas:
        open_.setdefault("." if points else ",", cell)
