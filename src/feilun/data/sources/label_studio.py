"""Label Studio: the JSON that it exports and imports, a list of tasks with their annotations.

A task's ``data`` gives the columns. The first choice (or rating) of an annotation is the column
``label``; each question is a column of its own name too, for ``--map label=NAME``. An annotation is
a row: of several people the majority counts, as it does for rows that repeat.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from feilun.data.sources import json_array
from feilun.data.sources._records import peek_columns
from feilun.data.sources.base import BadRow, LeftOut, Options, Table
from feilun.types import Row

__all__ = ["is_task", "open_tables"]

_LOCAL = "/data/local-files/?d="
_UPLOAD = "/data/upload/"
_SAID = ("annotations", "completions", "predictions")


def is_task(value: Any) -> bool:
    """Whether a JSON value is a task of Label Studio."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("data"), dict)
        and any(isinstance(value.get(name), list) for name in _SAID)
    )


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table. Skipped annotations and those of models count for nothing, and a task
    that everybody skipped is no example; where an annotation is marked as ground truth, it alone
    counts."""
    (inner,) = json_array.open_tables(location, options, known)
    try:
        columns, rows = peek_columns(_rows(inner.rows()))
    except BaseException:
        inner.close()
        raise
    return [inner.over(columns, rows, details={"format": "Label Studio"})]


def _rows(tasks: Iterator[Row | BadRow]) -> Iterator[Row | BadRow]:
    for task in tasks:
        if isinstance(task, BadRow):
            yield task
            continue
        values: Any = task.values
        if not is_task(values):
            yield BadRow(task.number, "formats.no_task", {}, dict(task.values))
            continue
        data = {name: _here(value) for name, value in values["data"].items()}
        if _all_skipped(values):
            yield LeftOut(task.number, {**data, "label": None}, "formats.not_examples")
            continue
        for answers in _annotations(values, data) or [{}]:
            yield Row(task.number, {**data, "label": None, **answers})


def _all_skipped(task: Mapping[str, Any]) -> bool:
    said = [one for one in task.get("annotations") or () if isinstance(one, dict)]
    return bool(said) and all(one.get("was_cancelled") for one in said)


def _annotations(task: Mapping[str, Any], data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each person answered, ``{question: answer}``. Who marked nothing where nobody answered
    anything says that there is nothing: an empty list."""
    listed = [
        one
        for one in task.get("annotations") or task.get("completions") or ()
        if isinstance(one, dict) and not one.get("was_cancelled")
    ]
    listed = [one for one in listed if one.get("ground_truth")] or listed
    said = [answers for one in listed if (answers := _answers(one.get("result"), data))]
    return said or [{"label": []} for one in listed[:1] if one.get("result") == []]


def _answers(results: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    texts = [one for one in data.values() if isinstance(one, str)]
    for result in results if isinstance(results, list) else ():
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        said = value.get("choices", value.get("rating"))
        if said is None and isinstance(value.get("labels"), list) and "end" in value:
            for name in {"label", str(result.get("from_name") or "label")}:
                answers.setdefault(name, []).append(_span(value, texts))
            continue
        if said is None:
            continue
        answers.setdefault("label", said)
        if result.get("from_name"):
            answers.setdefault(str(result["from_name"]), said)
    return answers


def _span(value: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """A marked piece of text. Browsers count some characters, such as emoji, as two: where the
    piece stands elsewhere by characters, and here by that count, it is put right."""
    start, end, piece = value.get("start"), value.get("end"), value.get("text")
    span = {"start": start, "end": end, "labels": value["labels"]}
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(piece, str)):
        return span
    if any(text[start:end] == piece for text in texts):
        return span
    for text in texts:
        units = text.encode("utf-16-le", "surrogatepass")
        if units[2 * start : 2 * end] == piece.encode("utf-16-le", "surrogatepass"):
            begin = len(units[: 2 * start].decode("utf-16-le", "replace"))
            return {**span, "start": begin, "end": begin + len(piece)}
    return span


def _here(value: Any) -> Any:
    """Addresses of files that Label Studio served, as paths beside the exported file."""
    if not isinstance(value, str):
        return value
    if value.startswith(_LOCAL):
        return unquote(value[len(_LOCAL) :])
    if value.startswith(_UPLOAD):
        return unquote(value).rpartition("/")[2]
    return value
