"""What in the labels deserves a word before anything is learnt from them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from feilun.data.outcome import Notice, SourceReport
from feilun.modalities.times import written_out
from feilun.numerals import parse

__all__ = ["alike_labels", "label_warnings", "source_warnings", "split_warnings"]

_FEW_ROWS = 50
_FEW_PER_LABEL = 10
_IMBALANCE = 20
_NUMBERS = 20
_COLUMNS = 20
_SHEETS = 10
_HEADINGS = frozenset(
    [
        "label",
        "labels",
        "category",
        "class",
        "sentiment",
        "rating",
        "score",
        "stars",
        "target",
        "response",
        "answer",
        "标签",
        "类别",
        "分类",
        "情感",
        "评分",
        "回答",
    ]
)


def label_warnings(counts: Mapping[str, int], total: int) -> list[Notice]:
    """Warnings about the labels' names and sizes, from ``{label: rows}`` of `total` rows, which may
    have several labels each, or none."""
    found = []
    if total < _FEW_ROWS:
        found.append(Notice("data.few_rows", {"rows": total}))
    counts = {label: rows for label, rows in counts.items() if label and rows}
    if not counts:
        return found
    rare = sorted((rows, label) for label, rows in counts.items() if rows < _FEW_PER_LABEL)
    if rare and total >= _FEW_ROWS:
        names = [f"{label} ({rows})" for rows, label in rare[:5]]
        found.append(Notice("data.rare_labels", {"count": len(rare), "labels": names}))
    most, least = max(counts, key=lambda k: counts[k]), min(counts, key=lambda k: counts[k])
    if counts[most] > _IMBALANCE * counts[least]:
        ratio = round(counts[most] / counts[least])
        found.append(Notice("data.imbalance", {"most": most, "least": least, "ratio": ratio}))
    headings = [label for label in counts if counts[label] == 1 and label.casefold() in _HEADINGS]
    if headings and total > len(headings) + 1:
        found.append(Notice("formats.label_is_heading", {"label": headings[0]}))
    for alike in alike_labels(counts):
        found.append(Notice("data.alike_labels", {"labels": alike}))
    if _continuous(list(counts)):
        found.append(Notice("data.continuous_labels", {"count": len(counts)}))
    return found


def alike_labels(labels: Mapping[str, int]) -> list[list[str]]:
    """Labels that differ in nothing but case, width, space or punctuation."""
    same: dict[str, list[str]] = {}
    for label in labels:
        plain = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", label).casefold())
        if plain:
            same.setdefault(plain, []).append(label)
    signed = re.compile(r"[-+.]?\d")  # -1 and 1, 1.5 and 15 are not alike
    return [
        names for names in same.values() if len(names) > 1 and not any(map(signed.match, names))
    ]


def _continuous(labels: list[str]) -> bool:
    try:
        values = [float(label) for label in labels]
    except ValueError:
        return False
    broken = sum(not value.is_integer() for value in values)
    return len(values) > _NUMBERS and (2 * broken > len(values) or len(values) > 5 * _NUMBERS)


def split_warnings(
    counts: Mapping[str, Mapping[str, int]], targets: Mapping[str, Mapping[str, int]]
) -> list[Notice]:
    """Warnings about the division, from ``{split: {label: rows}}`` and the same of whole targets,
    of which a row has one."""
    found = []
    if not targets.get("validation"):
        found.append(Notice("data.no_validation"))
    if not targets.get("test"):
        found.append(Notice("data.no_test"))
    train = counts.get("train", {})
    unseen = sorted({label for part in counts.values() for label in part if label} - set(train))
    if unseen and train:
        found.append(Notice("data.not_in_train", {"labels": unseen[:5]}))
    return found


def source_warnings(sources: Iterable[SourceReport]) -> list[Notice]:
    """Warnings about how the sources were read."""
    return [
        Notice(code, {"file": source.name, **params})
        for source in sources
        for code, params in _read_so(source.details)
    ]


def _read_so(details: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for code, rows in details.get("left_out", {}).items():
        yield code, {"rows": rows}
    if columns := details.get("joined"):
        shown = [*columns[:_COLUMNS], *(["…"] if len(columns) > _COLUMNS else [])]
        yield "data.joined_columns", {"count": len(columns), "columns": shown}
    if arrays := details.get("other_arrays"):
        shown = [f"{name} ({size:,})" for name, size in list(arrays.items())[:5]]
        yield "formats.other_arrays", {"names": shown}
    for column, decimal, assumed, example, percent, currencies in details.get("numbers", ()):
        yield from _written_so(column, decimal, assumed, example, percent, currencies)
    for column, day_first, assumed, example in details.get("dates", ()):
        yield _dated_so(column, day_first, assumed, example)
    if lines := details.get("skipped"):
        yield "formats.skipped_lines", {"lines": lines[:3]}
    if words := details.get("guessed"):
        params = {"encoding": details["encoding"], "examples": words}
        yield "formats.guessed_encoding", params
    yield from _workbook_so(details)


def _workbook_so(details: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is to be said of a workbook."""
    if others := details.get("other_sheets"):
        yield "formats.other_sheets", {"sheet": details["sheet"], "others": others}
    if hidden := details.get("hidden_sheets"):
        yield "formats.hidden_sheets", {"sheets": hidden[:_SHEETS]}
    if columns := details.get("uncomputed"):
        yield "formats.uncomputed_column", {"columns": columns}
    if rows := details.get("hidden_rows"):
        yield "formats.hidden_rows", {"rows": rows}
    if columns := details.get("hidden_columns"):
        yield "formats.hidden_columns", {"columns": columns}
    if details.get("hidden_unseen"):
        yield "formats.hidden_unseen", {}


def _dated_so(
    column: str, day_first: bool | None, assumed: bool, example: str
) -> tuple[str, dict[str, Any]]:
    """What is to be said of how the dates of a column are written."""
    if day_first is None:
        return "data.dates_mixed", {"column": column, "examples": example}
    code = "data.dates_day_first" if day_first else "data.dates_month_first"
    meant = written_out(example, day_first)
    params = {"column": column, "example": example, "meant": meant}
    return "data.dates_assumed" if assumed else code, params


def _written_so(
    column: str,
    decimal: str | None,
    assumed: bool,
    example: str,
    percent: float,
    currencies: Sequence[str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is to be said of how the numbers of a column are written."""
    if decimal is None:
        yield "data.numbers_mixed", {"column": column, "examples": example}
    else:
        code = "data.numbers_assumed" if assumed else "data.numbers_written"
        meant = f"{parse(example, decimal):.12g}"  # type: ignore[arg-type]
        yield code, {"column": column, "example": example, "meant": meant}
    if 0 < percent < 1:
        yield "data.numbers_some_percent", {"column": column}
    if len(currencies) > 1:
        yield "data.numbers_currencies", {"column": column, "currencies": list(currencies)}
