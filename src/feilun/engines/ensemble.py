"""Several models answer together: the weighted mean of what they state (a linear opinion pool).

A version holds its members as folders that could answer alone (`engines._levels`); the card's
``extra`` lists them as ``stages`` with one of ``weights`` for each. All members are asked about
every input, and their means decoded at the version's own operating point.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines._inline import added
from feilun.engines._levels import (
    STAGES,
    StagedEngine,
    collected,
    copied,
    levels_of,
    open_stages,
    stages_of,
)
from feilun.engines.base import Engine
from feilun.engines.card import Card, write_card
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["FORMATS", "EnsembleEngine", "load", "write_ensemble"]

FORMATS = ("ensemble",)


class EnsembleEngine(StagedEngine):
    """Answers from an `ensemble` version. See `Engine` for the meaning of each method."""

    name = "ensemble"

    def __init__(self, card: Card, stages: Sequence[Engine]) -> None:
        self.card = card
        self.stages = tuple(stages)
        self.levels = levels_of(card)
        self._weights = np.asarray(card.extra["weights"], np.float64)
        self._family = tasks.of(card.schema).family
        self._decode = self._family.decoder(card.schema, card.point)
        self._streams = max(int(one.info.get("streams", 1)) for one in stages)
        self._lock = threading.Lock()
        self._usage = Usage()

    @property
    def info(self) -> Mapping[str, Any]:
        infos = [one.info for one in self.stages]
        found = {
            **infos[-1],
            "engine": self.name,
            "precision": self.card.precision,
            "streams": self._streams,
            "threads": max(int(one.get("threads", 1)) for one in infos),
            "waiting": sum(int(one.get("waiting", 0)) for one in infos),
            "costly": any(one.get("costly") for one in infos),
            "remote": any(one.get("remote") for one in infos),
            "vectors": False,
        }
        oldest = [one["oldest"] for one in infos if "oldest" in one]
        if oldest:
            found["oldest"] = next((one for one in oldest if one is not None), None)
        return found

    @property
    def usage(self) -> Usage:
        return self._usage

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        found = [
            self._family.settled(one.raw(items), self.card.schema, one.card.point)
            for one in self.stages
        ]
        return self._family.mean(found, self._weights)

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        return self._decode(self.raw(items), all_scores)

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        whole = replace(request, all_scores=True, vectors=False)
        answered = await asyncio.gather(*(collected(one, whole) for one in self.stages))
        stated = [self._family.stated(outputs, self.card.schema) for outputs, _, _ in answered]
        outputs = self._decode(self._family.mean(stated, self._weights), request.all_scores)
        usage = Usage()
        for stage, (_, used, _) in zip(self.stages, answered, strict=True):
            scale = self._streams / max(1, int(stage.info.get("streams", 1)))
            usage = added(usage, replace(used, engine_seconds=used.engine_seconds * scale))
        costs = next((each for _, _, each in reversed(answered) if each is not None), None)
        last = max((used for _, used, _ in answered), key=lambda used: used.tokens + used.pixels)
        # The same tokens are read by every member, and counted once.
        usage = replace(
            usage, inputs=len(request.items), tokens=last.tokens, pixels=last.pixels, units={}
        )
        with self._lock:
            self._usage = added(self._usage, usage)
        yield Chunk(outputs, usage, costs, final=True)

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        return {"inputs": len(request.items)}


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> EnsembleEngine:
    """Opens all members. Raises `CorruptArtifact` where weights do not fit them."""
    found = stages_of(folder)
    if len(found) < 2 or len(card.extra.get("weights", ())) != len(found):
        raise CorruptArtifact("engines.bad_weights", file=folder / STAGES, reason=f"{len(found)}")
    stages = open_stages(found, streams=streams, threads=threads)
    return EnsembleEngine(card, stages)


def write_ensemble(
    folder: Path, members: Sequence[tuple[str, Path]], weights: Sequence[float], card: Card
) -> None:
    """Writes an ensemble of `members`, names and engines' folders, into `folder`; `card` says
    what is said of all of it."""
    family = tasks.of(card.schema).family
    levels = copied(folder, members, family.neutral())
    extra = {"stages": levels, "weights": [round(float(one), 6) for one in weights]}
    write_card(folder, replace(card, format=FORMATS[0], extra=extra))
