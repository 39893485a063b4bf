"""Parquet, row group by row group."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from feilun.data.sources._records import from_batches, schema_classes
from feilun.data.sources.base import BadRow, Options, Table
from feilun.errors import InvalidData
from feilun.types import Row

__all__ = ["open_tables"]

_BATCH = 1024


def open_tables(location: Path | str, options: Options, known: Collection[str] = ()) -> list[Table]:
    """The file's one table. Raises `InvalidData` for a file that is cut short or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(location)
    try:
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, pa.ArrowException) as error:
        raise InvalidData("data.damaged", file=path, format="Parquet", reason=str(error)) from None
    return [
        Table(
            path.name,
            file.schema_arrow.names,
            _rows(path, file),
            folder=path.parent,
            details={"format": "Parquet", "row_groups": file.num_row_groups},
            total=file.metadata.num_rows,
            close=file.close,
        )
    ]


def _rows(path: Path, file: Any) -> Iterator[Row | BadRow]:
    import pyarrow as pa

    classes = schema_classes(file.schema_arrow)
    try:
        yield from from_batches(file.iter_batches(batch_size=_BATCH), classes)
    except (OSError, pa.ArrowException) as error:
        raise InvalidData("data.damaged", file=path, format="Parquet", reason=str(error)) from None
