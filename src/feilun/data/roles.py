"""Which column of the user's file plays which role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from feilun.data.dates import by_column
from feilun.data.sources import open_tables
from feilun.data.sources._cells import place
from feilun.data.sources.base import BadRow, Held, Source, Table
from feilun.data.sources.documents import as_document, is_documents
from feilun.data.sources.plain import prose
from feilun.errors import InvalidData, UsageError
from feilun.modalities.times import NAMES
from feilun.tasks.base import TaskBase
from feilun.types import ColumnSample, Roles, Row, Scalar

__all__ = ["called", "has_time", "joined", "known_names", "opened", "resolve"]

_OTHERS = ("label", "id", "group", "subject", "time")


def known_names(task: TaskBase, columns: Mapping[str, str]) -> frozenset[str]:
    """Names that a header of this task's data often has, in lower case: by them a first line is
    told from a first row."""
    names = {*_OTHERS, *task.label_aliases, *task.header_names, *columns.values()}
    for column in task.columns:
        names |= {column.name, *column.aliases}
    return frozenset(name.casefold() for name in names)


def opened(source: Source, task: TaskBase, columns: Mapping[str, str]) -> list[Table]:
    """The tables of `source`, not yet read, with dates as their columns show them. Where the task
    reads prose, a text file or a folder of them is one; where it reads documents a folder or file
    of them is one table of sections, and so is a table that asks nothing."""
    return [
        by_column(table, _of_dates(table, task, columns), source.options.day_first)
        for table in _opened(source, task, columns)
    ]


def _of_dates(table: Table, task: TaskBase, columns: Mapping[str, str]) -> set[str]:
    """The columns whose cells are taken as dates where they look like some: of a task that reads
    whole rows all but the label, else the one of times."""
    if task.open_columns:
        return set(table.columns) - {columns.get("label", "")}
    time = columns.get("time") or _named_time(table)
    return {time} - {columns[role] for role in columns if role != "time"} if time else set()


def _opened(source: Source, task: TaskBase, columns: Mapping[str, str]) -> list[Table]:
    known, place = known_names(task, columns), source.location
    if task.prose:
        return open_tables(prose(source), known)
    if not task.documents or isinstance(place, Held) or "://" in str(place):
        return open_tables(source, known)
    if source.options.format is None and is_documents(place):
        source = replace(source, options=replace(source.options, format="documents"))
    tables = open_tables(source, known)
    named = {"label", *(column.name for column in task.columns)} & set(columns)
    if named or not all(task.is_document(table.samples()) for table in tables):
        return tables
    if source.options.header is None and any(one.details.get("header") is False for one in tables):
        for table in tables:  # a document's first row names its columns, however few follow it
            table.close()
        tables = open_tables(replace(source, options=replace(source.options, header=True)), known)
    return [as_document(table, place) for table in tables]


def resolve(
    table: Table,
    task: TaskBase,
    columns: Mapping[str, str],
    need_label: bool = True,
    need_time: bool = False,
) -> Roles:
    """The roles of `table`: what `columns` says (role → column), the rest guessed by the task.

    Roles are the task's input columns, ``label``, ``id``, ``group``, ``subject`` and ``time``.
    Raises `UsageError` for an unknown role, `InvalidData` for an unknown column, a missing input
    or, with `need_label` and `need_time`, a missing label or time; each names what there is.
    Without a usable row among the first there is nothing to tell roles by: `InvalidData` says so.
    """
    try:
        roles = _resolve(table, task, columns, need_label, need_time)
    except InvalidData as error:
        if table.details.get("uncomputed") and error.code != "data.unknown_column":
            raise _uncomputed(table) from None
        if "file" in error.params:
            error.params["file"] = place(table.name, table.details)
        raise
    _check_formulas(table, roles, "label" in columns or not need_label)
    return roles


def joined(
    table: Table, task: TaskBase, columns: Mapping[str, str]
) -> tuple[Table, Mapping[str, str]]:
    """`table` with the columns that only together are the label as one, a mapping in each row, and
    `columns` with its name; both as they are where there are none. They are the task's guess, or
    those that ``label`` names with commas between them."""
    parts = _parts(table, task, columns)
    if not parts:
        return table, columns
    name = next(one for one in ("tags", "label", "label_") if one not in table.columns)
    rest = [column for column in table.columns if column not in parts]
    read = task.label_cells([one for one in table.samples() if one.name in parts])

    def changed() -> Iterator[Row | BadRow]:
        for row in table.rows():
            if isinstance(row, BadRow):
                yield row
                continue
            said = {one: row.values.get(one) for one in parts}
            said = {
                one: parts[one] if cell in (None, "") else read.get(one, _as_it_is)(cell)
                for one, cell in said.items()
            }
            kept = {column: row.values.get(column) for column in rest}
            yield replace(row, values={**kept, name: cast(Scalar, said)})

    made = table.over([*rest, name], changed(), details={"joined": list(parts)})
    return made, {**columns, "label": name}


def _as_it_is(cell: Scalar) -> Scalar:
    return cell


def _parts(table: Table, task: TaskBase, columns: Mapping[str, str]) -> Mapping[str, Scalar]:
    """The columns that are joined, and what an empty cell of each says."""
    given = columns.get("label")
    if given is None:
        played = set(columns.values())
        return task.label_columns([one for one in table.samples() if one.name not in played])
    names = [part.strip() for part in given.split(",")]
    if not task.family.structured or given in table.columns or len(names) < 2:
        return {}
    if not set(names) <= set(table.columns):
        return {}
    found = task.label_columns([one for one in table.samples() if one.name in names])
    return {name: found.get(name) for name in names}


def _check_formulas(table: Table, roles: Roles, label_given: bool) -> None:
    """Refuses formulas without values in a column that is learnt from; the label may have been
    guessed only because the right column looks empty."""
    uncomputed = table.details.get("uncomputed", ())
    played = {*roles.inputs.values(), roles.label, roles.id, roles.group, roles.subject}
    if uncomputed and (not label_given or played & set(uncomputed)):
        raise _uncomputed(table)


def _uncomputed(table: Table) -> InvalidData:
    columns = table.details["uncomputed"]
    return InvalidData("formats.uncomputed", file=place(table.name, table.details), columns=columns)


def _resolve(
    table: Table,
    task: TaskBase,
    columns: Mapping[str, str],
    need_label: bool,
    need_time: bool,
) -> Roles:
    inputs = known = [column.name for column in task.columns]
    own = [name for name in task.named_inputs if name not in inputs]
    for role, column in columns.items():
        if role not in (*inputs, *own, *_OTHERS):
            raise UsageError("data.unknown_role", role=role, options=[*inputs, *own, *_OTHERS])
        if column not in table.columns:
            raise InvalidData(
                "data.unknown_column", file=table.name, column=column, options=table.columns
            )
    samples = table.samples()
    if all(isinstance(row, BadRow) for row in table.head):
        _refuse_empty(table)
    if task.open_columns:
        roles = _open(samples, task, columns)
    else:
        roles = _guess(samples, task, columns)
    given = {role: column for role, column in columns.items() if role in _OTHERS}
    if task.open_columns:
        inputs = list(roles.inputs)
    chosen = {name: columns.get(name) or roles.inputs.get(name) for name in inputs}
    found = {name: column for name, column in chosen.items() if column is not None}
    roles = replace(roles, inputs=found, **given)
    if len(found) < max(1, len(inputs)):
        missing = [name for name in inputs if name not in found] or [", ".join(known[:20])]
        raise InvalidData("data.no_input", file=table.name, role=missing[0], options=table.columns)
    if need_label and roles.label is None and task.self_supervised:
        roles = replace(roles, label=next(iter(found.values())))
    if need_label and roles.label is None:
        raise InvalidData("data.no_label", file=table.name, options=table.columns)
    if need_time and roles.time is None:
        return replace(roles, time=_time(table))
    return roles


def _open(samples: Sequence[ColumnSample], task: TaskBase, columns: Mapping[str, str]) -> Roles:
    """The roles in a table whose every column is an input that is nothing else. A column that a
    role is given to is no other, and no input unless it is given as one."""
    taken = set(columns.values())
    names = {column.name for column in task.columns} | set(task.named_inputs)
    given = {role: column for role, column in columns.items() if role in names}
    rest = [sample for sample in samples if sample.name not in taken]
    if task.named_inputs:  # which the task has to see to tell the others by
        rest += called(samples, task, columns)
    elif given and not any(sample.name in names for sample in rest):
        return Roles(given)
    roles = task.recognise(rest)
    return replace(roles, inputs={**roles.inputs, **given})


def called(
    samples: Sequence[ColumnSample], task: TaskBase, columns: Mapping[str, str]
) -> list[ColumnSample]:
    """The columns that `columns` gives to the task's own inputs, under the names of these."""
    by_name = {sample.name: sample.values for sample in samples}
    return [
        ColumnSample(role, by_name[columns[role]])
        for role in task.named_inputs
        if columns.get(role) in by_name
    ]


def has_time(table: Table) -> bool:
    """Whether a column is called like one of times."""
    return _named_time(table) is not None


def _named_time(table: Table) -> str | None:
    names = {name.strip().casefold(): name for name in table.columns}
    return next((names[name] for name in NAMES if name in names), None)


def _time(table: Table) -> str:
    """The column of times by its name."""
    found = _named_time(table)
    if found is not None:
        return found
    raise InvalidData("splits.no_time", file=table.name, options=table.columns)


def _refuse_empty(table: Table) -> None:
    """Says why a table whose first rows are all bad, or that has none, has no roles to give."""
    bad = [row for row in table.head if isinstance(row, BadRow)]
    if not bad:
        raise InvalidData("data.no_rows", files=[table.name])
    raise InvalidData("data.all_bad", files=[table.name], rows=len(bad), reason=bad[0].reason())


def _guess(samples: Sequence[ColumnSample], task: TaskBase, columns: Mapping[str, str]) -> Roles:
    """The task's guess, with no column in two roles: given ones go before guessed ones."""
    try:
        roles = task.recognise(samples)
    except InvalidData:
        if all(column.name in columns for column in task.columns):
            return Roles({}, _label_by_name(samples, task, columns))
        raise
    taken = set(columns.values())
    inputs = {role: c for role, c in roles.inputs.items() if c not in taken}
    free = {role: getattr(roles, role) for role in _OTHERS}
    free = {role: None if column in taken else column for role, column in free.items()}
    lost_input = len(inputs) < len(roles.inputs) and any(
        column.name not in columns and column.name not in inputs for column in task.columns
    )
    lost_label = "label" not in columns and free["label"] is None
    if taken and (lost_input or lost_label):
        again = _without(samples, task, columns)
        inputs = {**again.inputs, **inputs}
        free["label"] = free["label"] or again.label
    return Roles(inputs, **free)


def _without(samples: Sequence[ColumnSample], task: TaskBase, columns: Mapping[str, str]) -> Roles:
    """The guess among the columns that have no role yet. Where the inputs are given they stay in
    sight, because a task recognises a label beside its input."""
    inputs = {column.name for column in task.columns}
    hidden = {c for role, c in columns.items() if role not in inputs}
    renamed = {columns[name]: name for name in inputs & set(columns)}
    rest = [
        ColumnSample(renamed.get(sample.name, sample.name), sample.values)
        for sample in samples
        if sample.name not in hidden
    ]
    try:
        roles = task.recognise(rest)
    except InvalidData:
        return Roles({}, _label_by_name(samples, task, columns))
    return replace(roles, inputs={r: c for r, c in roles.inputs.items() if r not in columns})


def _label_by_name(
    samples: Sequence[ColumnSample], task: TaskBase, columns: Mapping[str, str]
) -> str | None:
    names = {sample.name.strip().casefold(): sample.name for sample in samples}
    for alias in ("label", *task.label_aliases):
        if alias.casefold() in names and names[alias.casefold()] not in columns.values():
            return names[alias.casefold()]
    return None
