"""Where rows come from. Each file here is one format: ``open_tables(location, options, known)``.

What a file is, its content says; its name only decides between formats that look alike.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection

from feilun.data.sources._detect import format_of
from feilun.data.sources._exports import adapted
from feilun.data.sources._held import open_held
from feilun.data.sources._partitions import placed
from feilun.data.sources._tagged import tagged
from feilun.data.sources.base import (
    AnySource,
    BadRow,
    ExampleSource,
    Held,
    LeftOut,
    Options,
    Source,
    Table,
    hold_out,
)
from feilun.errors import UsageError

__all__ = [
    "AnySource",
    "BadRow",
    "ExampleSource",
    "Held",
    "LeftOut",
    "Options",
    "Source",
    "Table",
    "as_written",
    "format_of",
    "formats",
    "hold_out",
    "open_tables",
]


def formats() -> list[str]:
    """The names of all formats, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_") and name != "base")


def open_tables(source: Source, known: Collection[str] = ()) -> list[Table]:
    """The tables of `source`, open, not yet read. `known` are names that headers often have.

    Raises `InvalidData` when it is missing, empty, damaged or no format that is read.
    """
    tables = as_written(source, known)
    return [
        tagged(adapted(t, known), known).cut(source.drop_last, source.keep_last) for t in tables
    ]


def as_written(source: Source, known: Collection[str] = ()) -> list[Table]:
    """As `open_tables`, before the columns of labelling tools and of tagged words are turned into
    inputs and labels."""
    if isinstance(source.location, Held):
        return open_held(source.location, known)
    name = source.options.format or format_of(source.location, source.options.encoding)
    if name not in formats():
        raise UsageError("data.unknown_format", format=name, options=formats())
    module = importlib.import_module(f"{__name__}.{name}")
    tables = module.open_tables(source.location, source.options, known)
    return [placed(table, source.location) for table in tables]
