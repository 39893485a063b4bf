"""What adding would do, shown before anything is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from feilun.data.clean.mending import Mending
from feilun.data.roles import opened, resolve
from feilun.data.sources.base import AS_FOUND, ReadOptions, Source
from feilun.data.versions import build
from feilun.errors import FeilunError, InvalidData, UsageError
from feilun.messages import t
from feilun.project.corpus import place
from feilun.project.results import Added
from feilun.project.scope import Report, Scope
from feilun.store.vault import vault_file
from feilun.table import Result, Table
from feilun.types import Roles

__all__ = ["ColumnShown", "Preview", "preview"]

_EXAMPLES = 3
_LENGTH = 80  # characters of an example
_COLUMNS = 200
_OTHERS = ("label", "id", "group", "subject", "time")


@dataclass(frozen=True)
class ColumnShown:
    """A column of the first table: its name, the role it would play (None: none) and examples."""

    name: str
    role: str | None
    examples: Sequence[str]


@dataclass(frozen=True)
class Preview(Result):
    """What `Project.add` would find. `added` is its report with no version, None where the sources
    cannot be used as they were understood; then `problem` says why. `roles` are those that columns
    can be given."""

    columns: Sequence[ColumnShown]
    roles: Sequence[str]
    added: Added | None
    problem: str | None = None
    hint: str | None = None

    def tables(self) -> Sequence[Table]:
        rows = [[c.name, c.role or "–", " | ".join(c.examples)] for c in self.columns]
        heads = [t("project.column"), t("project.role"), t("project.examples")]
        notes = [note for note in (self.problem, self.hint) if note]
        table = Table(t("project.preview"), heads if rows else (), rows, notes)
        return (table, *(self.added.tables()[:2] if self.added else ()))


def preview(
    scope: Scope,
    sources: Sequence[Any],
    *,
    columns: Mapping[str, str] | None = None,
    query: str | None = None,
    read: ReadOptions = AS_FOUND,
    report: Report | None = None,
) -> Preview:
    """See `Project.preview`."""
    if not sources:
        raise UsageError("project.no_sources")
    config = scope.config()
    given = {**config.data.columns, **(columns or {})}
    listed = [Source(place(scope, one), read.options(query, None), given) for one in sources]
    shown, problem = _columns(scope, listed[0], given)
    names = [*(column.name for column in scope.task.columns), *_OTHERS]
    if scope.task.open_columns:
        names = list(_OTHERS)
    if problem is not None:
        return _refused(shown, names, problem)
    try:
        added = _tried(scope, listed, report)
    except InvalidData as error:
        return _refused(shown, names, error)
    return Preview(shown, names, added)


def _refused(shown: Sequence[ColumnShown], roles: Sequence[str], why: FeilunError) -> Preview:
    return Preview(shown, roles, None, why.message(), why.hint())


def _columns(
    scope: Scope, source: Source, given: Mapping[str, str]
) -> tuple[list[ColumnShown], FeilunError | None]:
    """The columns of the first table of `source` with the roles they play."""
    try:
        tables = opened(source, scope.task, given)
    except FeilunError as error:
        return [], error
    roles, problem = None, None
    try:
        first = tables[0]
        try:
            roles = resolve(first, scope.task, given)
        except FeilunError as error:
            problem = error
        samples = {sample.name: sample.values for sample in first.samples()}
    except FeilunError as error:
        return [], error
    finally:
        for table in tables:
            table.close()
    played = _played(roles) if roles else {column: role for role, column in given.items()}
    shown = [
        ColumnShown(name, played.get(name), _examples(samples[name]))
        for name in islice(samples, _COLUMNS)
    ]
    return shown, problem


def _played(roles: Roles) -> dict[str, str]:
    """Column to role."""
    others = {getattr(roles, other): other for other in _OTHERS if getattr(roles, other)}
    return {column: role for role, column in roles.inputs.items()} | others


def _examples(values: Sequence[Any]) -> list[str]:
    """The first different values, short."""
    found = dict.fromkeys(
        f"{len(v):,} B" if isinstance(v, bytes) else " ".join(str(v).split())[:_LENGTH]
        for v in islice(values, 50)
        if v is not None and v != ""
    )
    return list(islice(found, _EXAMPLES))


def _tried(scope: Scope, listed: Sequence[Source], report: Report | None) -> Added:
    """The data version that would come, built aside and thrown away."""
    config, context = scope.config(), scope.context()
    previous = scope.store.catalog.latest_data(scope.name)
    folder = Path(tempfile.mkdtemp(prefix="preview-", dir=scope.store.folder))
    try:
        built = build(
            listed,
            task=scope.task,
            settings=config.data,
            task_settings=context.task_settings(),
            previous=context.dataset(previous) if previous else None,
            out=folder / "data",
            split="auto",
            report=report or (lambda _: None),
            exclude=frozenset(),
            bad_rows=folder / "bad_rows.jsonl",
            new_label_rows=config.update.new_label_rows,
            relabel=False,
            mending=Mending(vault=vault_file(scope.store.folder, scope.name), passing=True),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    details = built.to_json()
    details.pop("out")
    details["bad_rows"] = None
    same = previous is not None and not built.changed
    return Added(None, unchanged=same, report=details, _family=scope.task.family)
