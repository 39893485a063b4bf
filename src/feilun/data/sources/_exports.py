"""Tables that labelling tools export, known by their columns whatever file they stand in: Prodigy,
Argilla, and the CSV of Label Studio and doccano.

What a person rejected, ignored or discarded is no example. Several labels of one row become a
list, as in the JSON of these tools.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from feilun.data.sources.base import BadRow, LeftOut, Table
from feilun.types import ColumnSample, Row

__all__ = ["adapted"]

_NO_EXAMPLE = "formats.not_examples"

# Columns about the work of labelling; none of them is an input, a label or an id.
_PRODIGY = frozenset({"_input_hash", "_task_hash", "_view_id", "_session_id", "_annotator_id"})
_PRODIGY_OWN = _PRODIGY | {"_timestamp", "_is_binary", "answer", "options", "accept", "config"}
_ANSWERS = frozenset({"accept", "reject", "ignore"})
_STUDIO = (frozenset({"annotator", "lead_time"}), frozenset({"annotation_id", "lead_time"}))
_STUDIO_OWN = frozenset({"annotator", "lead_time", "annotation_id"})

Change = Callable[[Row], Iterator[Row]]


def adapted(table: Table, known: Collection[str] = ()) -> Table:
    """`table` with labels as the tool that exported it meant them; other tables as they are.
    Columns that the user names (in `known`) stay."""
    for recognise in (_prodigy, _argilla, _argilla_flat, _label_studio, _doccano):
        found = recognise(table, known)
        if found is not None:
            tool, columns, change = found
            return table.over(columns, _changed(table.rows(), change), details={"tool": tool})
    return table


Found = tuple[str, list[str], Change] | None


def _changed(rows: Iterator[Row | BadRow], change: Change) -> Iterator[Row | BadRow]:
    for row in rows:
        if isinstance(row, BadRow):
            yield row
        else:
            yield from change(row)


def _kept(columns: Collection[str], own: Collection[str], known: Collection[str]) -> list[str]:
    return [name for name in columns if name not in own or name.casefold() in known]


def _with(columns: list[str], *names: str) -> list[str]:
    return list(dict.fromkeys((*columns, *names)))


def _samples(table: Table) -> dict[str, ColumnSample]:
    return {sample.name: sample for sample in table.samples()}


# Prodigy


def _prodigy(table: Table, known: Collection[str]) -> Found:
    names = set(table.columns)
    if "answer" not in names or "answer" in known or not names & {"label", "accept"}:
        return None
    if not names & _PRODIGY:
        said = {str(v) for v in _samples(table)["answer"].values if v not in (None, "")}
        if "accept" not in said or not said <= _ANSWERS:
            return None
    columns = _with(_kept(table.columns, _PRODIGY_OWN, known), "label")

    def change(row: Row) -> Iterator[Row]:
        values = row.values
        label = values.get("label")
        if label in (None, "") and isinstance(values.get("accept"), list):
            label = values["accept"]
        kept = {name: values.get(name) for name in columns} | {"label": label}
        if values.get("answer") in ("reject", "ignore"):
            yield LeftOut(row.number, kept, _NO_EXAMPLE)
        else:
            yield Row(row.number, kept)

    return "Prodigy", columns, change


# Argilla


def _argilla(table: Table, known: Collection[str]) -> Found:
    """Records as ``to_json`` writes them: fields, responses and suggestions are objects."""
    if not {"fields", "responses"} <= set(table.columns):
        return None
    samples = _samples(table)
    fields = [v for v in map(_object, samples["fields"].values) if v]
    asked = [v for v in map(_object, samples["responses"].values) if v is not None]
    if not fields or not asked:
        return None
    inputs = list(dict.fromkeys(chain.from_iterable(fields)))
    questions = list(dict.fromkeys(chain.from_iterable(asked)))

    def change(row: Row) -> Iterator[Row]:
        values = dict(_object(row.values.get("fields")) or {})
        if row.values.get("id") is not None:
            values.setdefault("id", row.values["id"])
        said = _object(row.values.get("responses")) or {}
        yield from _answered(row, values, said, questions, row.values.get("status"))

    return "Argilla", _with([*inputs, "id"], "label", *questions), change


def _argilla_flat(table: Table, known: Collection[str]) -> Found:
    """Records flattened (``label.responses``), as Hugging Face datasets had them before (a list
    of answers in ``label``), and of the first releases (``annotation``)."""
    names = table.columns
    ends = ".responses"
    questions = [name[: -len(ends)] for name in names if name.endswith(ends)]
    if not questions and {"annotation", "prediction", "status"} <= set(names):
        return "Argilla", _with(_kept(names, ("prediction", "annotation_agent"), known)), _first
    older = [name for name in names if f"{name}-suggestion" in names] if not questions else []
    if not questions and not older:
        return None
    asked = questions or older
    own = [n for n in names for q in asked if n == q or n.startswith((f"{q}.", f"{q}-suggestion"))]
    own += ["status", "_server_id"]
    columns = _with(_kept(names, own, known), "label", *asked)

    def change(row: Row) -> Iterator[Row]:
        values = {name: row.values.get(name) for name in columns if name not in asked}
        said = {q: _responses(row.values, q) for q in asked}
        yield from _answered(row, values, said, asked, row.values.get("status"))

    return "Argilla", columns, change


def _first(row: Row) -> Iterator[Row]:
    values = {**row.values, "label": row.values.get("annotation")}
    if _is_discarded(values.get("status")):
        yield LeftOut(row.number, values, _NO_EXAMPLE)
    else:
        yield Row(row.number, values)


def _responses(values: Mapping[str, Any], question: str) -> Any:
    """The answers to a question as a list of ``{"value", "status", "user_id"}``."""
    if f"{question}.responses" not in values:
        return values.get(question)
    said = _list(values[f"{question}.responses"])
    status = _list(values.get(f"{question}.responses.status"))
    users = _list(values.get(f"{question}.responses.users"))
    return [
        {
            "value": value,
            "status": status[place] if place < len(status) else None,
            "user_id": users[place] if place < len(users) else place,
        }
        for place, value in enumerate(said)
    ]


def _answered(
    row: Row, values: dict[str, Any], said: Mapping[str, Any], questions: list[str], status: Any
) -> Iterator[Row]:
    """A row for each person who answered. A record without an answer is a row without a label; one
    with nothing but discarded answers is no example."""
    people: dict[Any, dict[str, Any]] = {}
    discarded = _is_discarded(status)
    for question in questions:
        for answer in _list(said.get(question)):
            if not isinstance(answer, dict):
                continue
            if _is_discarded(answer.get("status")):
                discarded = True
            elif str(answer.get("status") or "submitted").casefold() == "submitted":
                people.setdefault(answer.get("user_id"), {})[question] = answer.get("value")
    if _is_discarded(status):
        people = {}
    if not people:
        empty = {**values, **dict.fromkeys(questions), "label": None}
        yield LeftOut(row.number, empty, _NO_EXAMPLE) if discarded else Row(row.number, empty)
    for answers in people.values():
        first = next(iter(answers.values()))
        yield Row(row.number, {**values, **dict.fromkeys(questions), "label": first, **answers})


def _is_discarded(status: Any) -> bool:
    return isinstance(status, str) and status.casefold() == "discarded"


def _object(value: Any) -> dict[str, Any] | None:
    value = _unpacked(value, "{")
    return value if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    value = _unpacked(value, "[")
    return value if isinstance(value, list) else []


def _unpacked(value: Any, mark: str) -> Any:
    """What a cell of a table without nested values holds as JSON."""
    if not isinstance(value, str) or not value.startswith(mark):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


# CSV of Label Studio and doccano


def _label_studio(table: Table, known: Collection[str]) -> Found:
    if not any(marks <= set(table.columns) for marks in _STUDIO):
        return None
    columns = _kept(table.columns, _STUDIO_OWN, known)

    def change(row: Row) -> Iterator[Row]:
        yield Row(row.number, {name: _choices(row.values.get(name)) for name in columns})

    return "Label Studio", columns, change


def _choices(value: Any) -> Any:
    """What was chosen in a cell: ``{"choices": ["a", "b"]}`` where there are several, and
    ``[{"rating": 4}]``."""
    found = _unpacked(_unpacked(value, "{"), "[")
    said = found if isinstance(found, list) else [found]
    if not said or not all(isinstance(one, dict) for one in said):
        return value
    answers = [one.get("choices", one.get("rating")) for one in said]
    if any(answer is None for answer in answers):
        return value
    return list(chain(*(a if isinstance(a, list) else [a] for a in answers)))


def _doccano(table: Table, known: Collection[str]) -> Found:
    """doccano joins several labels with ``#``. A label may have that sign itself, so one is taken
    apart only where its parts are also seen elsewhere."""
    names = [name.casefold() for name in table.columns]
    if names[:3] != ["id", "data", "label"] and names != ["id", "text", "label"]:
        return None
    enough = any if names[1] == "data" else all  # many a table has the columns of the second form
    column = table.columns[2]
    seen = [v for v in _samples(table)[column].values if isinstance(v, str) and v]
    alone = {label for label in seen if "#" not in label}
    times: dict[str, int] = {}
    for label in set(seen) - alone:
        for part in set(label.split("#")):
            times[part] = times.get(part, 0) + 1
    parts = alone | {part for part, count in times.items() if part and count > 1}

    def change(row: Row) -> Iterator[Row]:
        label = row.values.get(column)
        if isinstance(label, str) and "#" in label:
            pieces = label.split("#")
            if all(pieces) and enough(piece in parts for piece in pieces):
                values: dict[str, Any] = {**row.values, column: pieces}
                yield Row(row.number, values)
                return
        yield row

    return "doccano", list(table.columns), change
