"""The inputs of a task that takes whatever columns there are: found once, then kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, Literal

from feilun.config import DataConfig
from feilun.data.outcome import Notice
from feilun.data.roles import called, has_time, known_names, opened, resolve
from feilun.data.sources import open_tables
from feilun.data.sources.base import AnySource, ExampleSource, Held, first_values
from feilun.errors import InvalidData
from feilun.store.dataset import Dataset
from feilun.tasks.base import TaskBase
from feilun.types import ColumnSample, Roles

__all__ = ["bind", "divided_by"]

_SAMPLE = 1000


def bind(
    task: TaskBase,
    sources: Sequence[AnySource],
    columns: Mapping[str, str],
    settings: Mapping[str, Any],
    previous: Dataset | None = None,
) -> tuple[TaskBase, dict[str, Any], list[Notice]]:
    """`task` with its columns, the `settings` that name them, and what to say of columns that are
    no inputs: those of the version before, else those of the first table of `sources`, where
    `columns` says which role a column plays."""
    if not task.open_columns:
        return task.bound(settings), dict(settings), []
    if previous is not None:
        task = task.bound(previous.schema.settings)
    if task.columns:
        return task, {**settings, **task.inputs()}, []
    samples, roles = _samples(task, sources, columns)
    found, out = task.find_columns(samples, settings, roles)
    notices = [Notice(why, {"column": name}) for name, why in out.items()]
    task = task.bound(found)
    notices += [Notice(code, params) for code, params in task.understood()]
    return task, found, notices


def divided_by(
    task: TaskBase,
    sources: Sequence[AnySource],
    settings: DataConfig,
    previous: Dataset | None = None,
) -> Literal["group", "subject", "time", "series"]:
    """What divides rows: what the task always says; where the settings leave it open, what divided
    those of the version before; of a `recurring` task the time, where every file has a column of
    times; else lots."""
    if task.split_by is not None:
        return task.split_by
    if settings.split_by != "auto":
        return settings.split_by
    if not task.recurring:
        return "group"
    if previous is not None:
        return "time" if previous.info.get("split_by") == "time" else "group"
    for source in sources:
        if isinstance(source, ExampleSource):
            return "group"
        place = source.location
        if isinstance(place, Held) and isinstance(place.rows, Iterator):
            return "group"  # they can be read only once
        given = {**settings.columns, **source.columns}
        with ExitStack() as stack:
            tables = open_tables(source, known_names(task, given))
            for table in tables:
                stack.callback(table.close)
            asking = [one for one in tables if not task.describes(one.samples(), given)]
            if not ("time" in given or all(map(has_time, asking))):
                return "group"
    return "time"


def _samples(
    task: TaskBase, sources: Sequence[AnySource], columns: Mapping[str, str]
) -> tuple[list[ColumnSample], Roles | None]:
    """The columns of the first table that are nothing but inputs, with their first values, and
    what its columns are; None for rows at hand."""
    for source in sources:
        if isinstance(source, ExampleSource) and not isinstance(source.examples, Sequence):
            continue  # they come once, for the build
        if isinstance(source, ExampleSource):
            items = [
                one.item
                for one in islice(source.examples, _SAMPLE)
                if isinstance(one.item, Mapping)
            ]
            if items:
                return [
                    ColumnSample(n, [i.get(n) for i in items]) for n in first_values(items)
                ], None
            continue
        place = source.location
        if isinstance(place, Held) and isinstance(place.rows, Iterator):
            raise InvalidData("tables.read_once", name=place.name)
        given = {**columns, **source.columns}
        with ExitStack() as stack:
            tables = opened(source, task, given)
            for table in tables:
                stack.callback(table.close)
            for table in tables:
                samples = table.samples()
                roles = resolve(table, task, given, need_label=False)
                inputs = set(roles.inputs.values())
                named = called(samples, task, given)
                own = {given[sample.name] for sample in named}
                rest = [s for s in samples if s.name in inputs and s.name not in own]
                return rest + named, roles
    raise InvalidData("data.no_rows", files=[getattr(source, "name", "-") for source in sources])
