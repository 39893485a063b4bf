"""Several models one after the other: the first that is sure of its answer gives it (cascades;
Viola and Jones 2001; Chen, Zaharia and Zou 2023, "FrugalGPT").

A stage passes on what it is less sure of (`Family.sure`) than the threshold of its switch, what it
abstains from, and what it cannot do: an option that it does not honour, a prompt that is too long
for it. The last stage answers whatever comes to it; it may be another server (`engines.upstream`).
What the folder holds: `engines._levels`.

Usage counts what answered: the tokens of the stage that gave the answer, the seconds of all stages
that were asked, and in the units ``answers_NAME`` how many answers each stage gave.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from feilun.engines._inline import added
from feilun.engines._levels import (
    FORMATS,
    PASSED_ON,
    STAGES,
    Level,
    StagedEngine,
    certainty,
    collected,
    is_drawn,
    levels_of,
    mixed,
    open_stages,
    stages_of,
    unit,
    write_cascade,
)
from feilun.engines.base import Engine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact, EnvironmentProblem, InvalidData
from feilun.families.base import Decoder
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = [
    "CONVERTS",
    "FORMATS",
    "LEVEL",
    "PASSED_ON",
    "CascadeEngine",
    "Level",
    "ask_how_sure",
    "certainty",
    "is_drawn",
    "levels_of",
    "load",
    "mixed",
    "stages_of",
    "unit",
    "write_cascade",
]

CONVERTS = False
"""Its stages are variants already."""
LEVEL = "cascade_stage"
"""An option of `EngineRequest`: the place of the stage that is to answer, however sure it is."""

_EVERY_ENGINE = frozenset({"max_tokens", "stop", "n"})


class CascadeEngine(StagedEngine):
    """Answers from a `cascade` version. See `Engine` for the meaning of each method."""

    name = "cascade"

    def __init__(self, card: Card, stages: Sequence[Engine]) -> None:
        self.card = card
        self.stages = tuple(stages)
        self.levels = levels_of(card) or tuple(Level(str(n)) for n in range(len(stages)))
        self._task = tasks.of(card.schema)
        self._family = self._task.family
        self._thresholds = [float(one) for one in card.extra["thresholds"]]
        self._last = len(self.stages) - 1
        self._drawn = float(card.extra.get("drawn", 0.0))
        self._decoders: list[Decoder] = [
            self._family.decoder(one.card.schema, one.card.point) for one in self.stages
        ]
        for one in self.stages[:-1]:
            ask_how_sure(one)
        self._infos = [one.info for one in self.stages]
        # Another server's streams are no share of a machine here.
        here = [one for one in self._infos if not one.get("remote")]
        self._streams = max(int(one.get("streams", 1)) for one in here or self._infos)
        self._lanes = max(int(one.get("streams", 1)) for one in self._infos)
        self._remote = len(here) < len(self._infos)
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
            "lanes": self._lanes,
            "threads": sum(int(one.get("threads", 1)) for one in infos),
            "waiting": sum(int(one.get("waiting", 0)) for one in infos),
            "costly": any(one.get("costly") for one in infos),
            "remote": any(one.get("remote") for one in infos),
            "levels": () if self._remote else tuple(level.name for level in self.levels),
        }
        oldest = [one["oldest"] for one in infos if "oldest" in one]
        if oldest:
            found["oldest"] = next((one for one in oldest if one is not None), None)
        return found

    @property
    def usage(self) -> Usage:
        return self._usage

    @property
    def context(self) -> int | None:
        """Tokens of a prompt and its answer together, at most (`StreamingEngine.context`)."""
        return getattr(self.stages[-1], "context", None)

    def asked(self, item: Item) -> int:
        """The tokens that the last stage reads to answer `item`."""
        return int(cast(Any, self.stages[-1]).asked(item))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        return self.levelled(items)[0]

    def levelled(self, items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
        """Raw outputs for the cascade's operating point, and the place of the stage that gave each,
        int64 (rows,)."""
        given = np.full(len(items), self._last)
        result: np.ndarray | None = None
        left = np.arange(len(items))
        for place, stage in enumerate(self.stages):
            asked, passed = self._asked(place, left, items)
            if not len(asked) and (len(passed) or result is not None):
                left = passed
                continue
            found = stage.raw([items[row] for row in asked.tolist()])
            kept = self._kept(place, self._decoders[place](found, False))
            own = self.levels[place].point or stage.card.point
            settled = self._family.settled(found, stage.card.schema, own)
            if result is None:
                result = np.zeros((len(items), *settled.shape[1:]), settled.dtype)
            result[asked[kept]], given[asked[kept]] = settled[kept], place
            left = np.sort(np.concatenate([passed, asked[~kept]]))
        assert result is not None
        return result, given

    def routes(self, items: Sequence[Item]) -> np.ndarray:
        """The place of the stage that answers each of `items`, int64; the last is not asked."""
        return self._looked(items)[0]

    def passes(self, items: Sequence[Item]) -> np.ndarray:
        """Which of `items` come to the last stage, as a mask; the last stage is not asked."""
        mask: np.ndarray = self.routes(items) == self._last
        return mask

    def nearest(self, items: Sequence[Item], count: int) -> list[int]:
        """The places of those `items` that are nearest to a switch, `count` on either side."""
        routes, apart = self._looked(items)
        found: set[int] = set()
        for place in range(self._last):
            for rows in (np.flatnonzero(routes == place), np.flatnonzero(routes > place)):
                known = rows[np.isfinite(apart[place, rows])]
                order = np.argsort(np.abs(apart[place, known]), kind="stable")
                found.update(known[order[:count]].tolist())
        return sorted(found)

    def remember(self, said: Callable[[Item], str | None]) -> None:
        """What another server said of an item before; see `UpstreamEngine.remember`."""
        for stage in self.stages:
            if stage.info.get("remote"):
                cast(Any, stage).remember(said)

    def predict(self, items: Sequence[Item], all_scores: bool = False) -> list[Output]:
        outputs: list[Output] = [{} for _ in items]
        left = np.arange(len(items))
        for place, stage in enumerate(self.stages):
            asked, passed = self._asked(place, left, items)
            found = []
            if len(asked):
                found = stage.predict([items[row] for row in asked.tolist()], all_scores)
            kept = self._kept(place, found)
            for row, output in zip(asked.tolist(), found, strict=True):
                outputs[row] = output
            left = np.sort(np.concatenate([passed, asked[~kept]]))
        return outputs

    def answering(self, item: Item) -> int:
        """The place of the stage that answers `item`."""
        return int(self.routes([item])[0])

    async def submit(self, request: EngineRequest) -> AsyncIterator[Chunk]:
        if self._closed:
            raise EnvironmentProblem("engines.closed")
        if self._family.streams:
            async with aclosing(self._written(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        else:
            yield await self._whole(request)

    def most(self, request: EngineRequest) -> Mapping[str, int]:
        """Of each unit the most that a stage which could answer may come to."""
        found: dict[str, int] = {}
        for place, stage in enumerate(self.stages):
            try:
                most = stage.most(request)
            except InvalidData:
                if place == self._last:
                    raise
                continue
            found = {name: max(found.get(name, 0), most.get(name, 0)) for name in (*found, *most)}
        return found

    # Texts: each input by itself, so that only what answered is counted.

    async def _written(self, request: EngineRequest) -> AsyncGenerator[Chunk]:
        outputs: list[Output] = []
        told = Usage(units={"tokens_in": 0, "tokens_out": 0})
        same = int(request.options.get("n", 1))
        for index, item in enumerate(request.items):
            before = told
            one = replace(request, items=[item], options=_alone(request.options, index % same))
            async with aclosing(self._one(index, item, one)) as chunks:
                async for chunk in chunks:
                    assert chunk.usage is not None
                    told = added(before, _again(chunk.usage, index % same))
                    if chunk.final:
                        outputs += chunk.outputs
                    elif request.stream:
                        yield replace(chunk, usage=told)
        self._count(told)
        yield Chunk(outputs, told, final=True)

    async def _one(self, index: int, item: Item, request: EngineRequest) -> AsyncGenerator[Chunk]:
        """The pieces of one answer, then the answer."""
        spent = Usage()
        for place, stage in enumerate(self.stages):
            if place < self._last and (self._is_drawn(item) or not self._is_able(place, request)):
                continue
            kept: list[Chunk] = []
            async with aclosing(cast(AsyncGenerator[Chunk], stage.submit(request))) as chunks:
                async for chunk in chunks:
                    assert chunk.usage is not None
                    usage = self._timed(place, chunk.usage)
                    usage = added(usage, spent)
                    if chunk.final:
                        usage = self._counting(usage, place, len(chunk.outputs))
                    one = replace(chunk, index=index, usage=usage)
                    if place < self._last:
                        kept.append(one)
                    else:
                        yield _marked(one, place)
            if place == self._last:
                return
            final = kept[-1]
            if self._kept(place, final.outputs).all():
                for one in kept:
                    yield _marked(one, place)
                return
            assert final.usage is not None
            spent = Usage(engine_seconds=final.usage.engine_seconds)

    # Other answers: all inputs together.

    async def _whole(self, request: EngineRequest) -> Chunk:
        outputs: list[Output] = [{} for _ in request.items]
        costs: list[int] | None = [0] * len(request.items)
        total = Usage()
        left = np.arange(len(request.items))
        first = self._last if request.vectors else 0  # the last tells of vectors
        only = request.options.get(LEVEL)
        for place, stage in enumerate(self.stages):
            if place < first or (only is not None and place != only):
                continue
            asked, passed = self._asked(place, left, request.items)
            if only is not None:
                asked, passed = left, left[:0]
            if not len(asked):
                left = passed
                continue
            part = replace(request, items=[request.items[row] for row in asked.tolist()])
            found, usage, each = await collected(stage, part)
            kept = self._kept(place, found)
            if only is not None:
                kept[:] = True
            marked = self._remote and place == self._last
            for row, output in zip(asked.tolist(), found, strict=True):
                outputs[row] = {**output, PASSED_ON: True} if marked else output
            if each is not None and costs is not None:
                for row, cost in zip(asked.tolist(), each, strict=True):
                    costs[row] = cost
            elif usage.tokens or usage.pixels:
                costs = None  # what an input costs is not known
            total = added(total, self._answered(place, usage, each, kept))
            left = np.sort(np.concatenate([passed, asked[~kept]]))
        self._count(total)
        return Chunk(outputs, total, costs, final=True)

    def _answered(
        self, place: int, usage: Usage, each: Sequence[int] | None, kept: np.ndarray
    ) -> Usage:
        """What the answers that a stage gave come to; its seconds are those of all it was asked."""
        usage = self._timed(place, usage)
        count = int(kept.sum())
        if count < len(kept):
            cost = 0 if each is None else int(np.asarray(each)[kept].sum())
            pictures = bool(usage.pixels)
            usage = replace(
                usage, tokens=0 if pictures else cost, pixels=cost if pictures else 0, units={}
            )
        return self._counting(replace(usage, inputs=count), place, count)

    def _timed(self, place: int, usage: Usage) -> Usage:
        """What a stage has used, its seconds as those of so many streams as there are here: money
        is counted by the share of a stream."""
        scale = self._streams / max(1, int(self._infos[place].get("streams", 1)))
        own = (usage.engine_seconds - usage.upstream_seconds) * scale
        return replace(usage, engine_seconds=own + usage.upstream_seconds)

    def _counting(self, usage: Usage, place: int, answers: int) -> Usage:
        """Counts who answered; of another server `Usage.upstream` tells it."""
        if not answers or self._remote:
            return usage
        return replace(usage, units={**usage.units, unit(self.levels[place].name): answers})

    # The switches.

    def _looked(self, items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
        """Who answers each of `items`, and by how much each stage but the last is surer of it than
        its threshold (stages, rows); NaN where it is not asked or cannot say."""
        routes = np.full(len(items), self._last)
        apart = np.full((self._last, len(items)), np.nan)
        left = np.arange(len(items))
        for place, stage in enumerate(self.stages[:-1]):
            asked, passed = self._asked(place, left, items)
            if not len(asked):
                break
            outputs = stage.predict([items[row] for row in asked.tolist()])
            apart[place, asked] = certainty(self._family, outputs) - self._thresholds[place]
            kept = self._kept(place, outputs)
            routes[asked[kept]] = place
            left = np.sort(np.concatenate([passed, asked[~kept]]))
        return routes, apart

    def _asked(
        self, place: int, left: np.ndarray, items: Sequence[Item]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which of the rows that are left a stage is asked, and which go on unasked."""
        if place == self._last or not self._drawn:
            return left, left[:0]
        drawn = np.array([self._is_drawn(items[row]) for row in left.tolist()], bool)
        return left[~drawn], left[drawn]

    def _kept(self, place: int, outputs: Sequence[Output]) -> np.ndarray:
        """Which of its answers a stage gives, boolean (rows,); the last one all."""
        if place == self._last:
            return np.ones(len(outputs), bool)
        kept: np.ndarray = certainty(self._family, outputs) >= self._thresholds[place]
        return kept

    def _is_drawn(self, item: Item) -> bool:
        return self._drawn > 0 and is_drawn(item, self._drawn)

    def _is_able(self, place: int, request: EngineRequest) -> bool:
        known = _EVERY_ENGINE | frozenset(self._infos[place].get("options", ()))
        if not known.issuperset(request.options):
            return False
        try:
            self.stages[place].most(request)
        except InvalidData:
            return False
        return True

    def _count(self, used: Usage) -> None:
        with self._lock:
            self._usage = added(self._usage, used)


def ask_how_sure(engine: Engine) -> None:
    """Has a model that writes say how sure it is of its answers, where it is able to."""
    if hasattr(engine, "says_how_sure"):
        engine.says_how_sure = True


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> CascadeEngine:
    """Opens all stages. Raises `CorruptArtifact` where there are too few, or thresholds do not fit
    them."""
    found = stages_of(folder)
    thresholds = card.extra.get("thresholds", ())
    if len(found) < 2 or len(thresholds) != len(found) - 1:
        raise CorruptArtifact("engines.bad_weights", file=folder / STAGES, reason=f"{len(found)}")
    stages = open_stages(found, streams=streams, threads=threads)
    return CascadeEngine(card, stages)


def _marked(chunk: Chunk, place: int) -> Chunk:
    if not place or not chunk.outputs:
        return chunk
    return replace(chunk, outputs=[{**one, PASSED_ON: True} for one in chunk.outputs])


def _alone(options: Mapping[str, Any], place: int) -> Mapping[str, Any]:
    """What is asked of one of several answers to the same prompt."""
    alone = {name: value for name, value in options.items() if name != "n"}
    if place and "seed" in alone:  # else all answers would be the same
        alone["seed"] += place
    return alone


def _again(usage: Usage, place: int) -> Usage:
    """The usage of one of several answers to a prompt: it is read, and counted, once."""
    if not place or "tokens_in" not in usage.units:
        return usage
    return replace(usage, units={**usage.units, "tokens_in": 0})
