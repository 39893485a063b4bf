"""What loads a folder of weights and answers items. Each other file of this package is an engine.

An engine file names the formats it loads (``FORMATS``) and defines ``load``. `open_engine` reads
the folder's card and picks the file, so that no engine is imported which is not needed: the base
installation serves without torch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from feilun import registry
from feilun.engines.card import Card, read_card
from feilun.errors import EnvironmentProblem
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["Engine", "formats", "open_engine", "prompt_of"]


class Engine(Protocol):
    """A loaded version or variant. Safe to call from many threads and many event loops at once."""

    @property
    def card(self) -> Card:
        """What the folder says of itself."""
        ...

    @property
    def info(self) -> Mapping[str, Any]:
        """How it runs: ``engine``, ``device``, ``precision``, ``streams``, ``lanes``, where more
        calls may be under way than streams share the machine, ``threads``, batch sizes,
        ``waiting``, the items that wait for a batch now, ``vectors``, whether items can have one,
        ``searches``, whether it takes the options of `engines._search`, ``options``, which of those
        of `engines._streaming` it honours (default: none), ``costly``, where an answer takes a
        large part of a second, so that what is only looked at is asked of few rows, and ``remote``,
        where somebody else computes it and may want money for it."""
        ...

    @property
    def usage(self) -> Usage:
        """What all answers so far consumed together."""
        ...

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        """Answers the whole list at once, in its order: sorted by cost into batches, all streams
        in parallel. Raises `InvalidData` for an item that cannot be encoded."""
        ...

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        """What the model computes before its operating point makes answers of it: float32
        (len(items), width of the family), or an array of objects, one an item."""
        ...

    def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        """Answers one call among many that run now; batched with what else waits.

        A classifier yields one chunk; the last chunk carries the call's usage. Raises `InvalidData`
        for an item that cannot be encoded, `EnvironmentProblem` after `close`. Closing the iterator
        ends the work for it; an engine that streams writes at most one token more.
        """
        ...

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        """The units (of `Usage`, by their names) that answering `request` may come to at most: what
        is held before a stream begins."""
        ...

    def warm_up(self) -> None:
        """Answers the task's examples once, so that no caller pays for the first call."""
        ...

    def close(self) -> None:
        """Takes no more calls, finishes those it has, frees the threads. Twice is harmless."""
        ...


def prompt_of(folder: Path, item: Item) -> str | None:
    """The very text that the version in `folder` reads to answer a checked `item`, as the function
    ``prompt`` of its engine's file writes it; None where no text is written for it."""
    folder = Path(folder)
    card = read_card(folder)
    write = getattr(_module(folder, card), "prompt", None)
    return None if write is None else str(write(folder, card, item))


def open_engine(folder: Path, *, streams: int | None = None, threads: int | None = None) -> Engine:
    """Loads the version or variant in `folder`.

    `streams` is how many batches run at once, `threads` how many CPU threads they share; by
    default the engine's choice for this machine. Raises `CorruptArtifact` for a folder without a
    card, `EnvironmentProblem` when no installed engine loads its format.
    """
    folder = Path(folder)
    card = read_card(folder)
    module = _module(folder, card)
    return cast(Engine, module.load(folder, card, streams=streams, threads=threads))


def formats() -> list[str]:
    """Every format that an installed engine loads, sorted."""
    modules = (registry.load("engines", name) for name in registry.names("engines"))
    return sorted({name for module in modules for name in module.FORMATS})


def _module(folder: Path, card: Card) -> Any:
    """The engine's file that loads `folder`."""
    for name in _candidates(card.format):
        module = registry.load("engines", name)
        if card.format in module.FORMATS:
            return module
    raise EnvironmentProblem(
        "engines.unknown_format", folder=folder, format=card.format, options=formats()
    )


def _candidates(wanted: str) -> list[str]:
    """The engines' names, the one called like the format first: most often the only import."""
    return sorted(registry.names("engines"), key=lambda name: name != wanted)
