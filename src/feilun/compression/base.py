"""What an exporter is given and gives back, and which one a version needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from feilun import registry
from feilun.config import CompressionConfig
from feilun.engines.card import Card
from feilun.store.dataset import Dataset

__all__ = ["Export", "Exporter", "exporter_of", "exports"]

Tick = Callable[[float, str], None]
"""Hears the share that is done, and what is being done."""


@dataclass(frozen=True, slots=True)
class Export:
    """One export: the trained `version` with its `card`, the `dataset` whose training rows may
    calibrate, and the folder `out` that gets a folder for each variant."""

    version: Path
    card: Card
    dataset: Dataset
    out: Path
    settings: CompressionConfig
    tick: Tick


class Exporter(Protocol):
    """What a file of ``compression/exporters`` offers."""

    SOURCES: Sequence[str]
    FORMAT: str
    VARIANTS: Sequence[str]
    ROWS: int

    def unable(self, version: Path, card: Card) -> str | None:
        """Why `version` is served as it was trained, in words; None where it is exported."""
        ...

    def export(self, job: Export) -> tuple[list[str], list[str]]:
        """The names of the variants that were written, the float one first, and in words why others
        were not. Raises `EnvironmentProblem` where the version cannot be exported."""
        ...


def exporter_of(format: str) -> Exporter | None:
    """The exporter of versions in `format`; None where they are served as they were trained."""
    found = (cast(Exporter, registry.load("exporters", n)) for n in registry.names("exporters"))
    return next((one for one in found if format in one.SOURCES), None)


def exports(format: str) -> bool:
    """Whether `format` is what an exporter writes."""
    names = registry.names("exporters")
    return any(format == cast(Exporter, registry.load("exporters", n)).FORMAT for n in names)
