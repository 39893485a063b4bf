"""Answers drawn from what a model could say, rather than the likeliest one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from feilun.engines.base import Engine
from feilun.errors import UsageError
from feilun.types import EngineRequest, Item, Output

__all__ = ["sampled"]

_TEMPERATURE = 1.0


def sampled(engine: Engine, items: Sequence[Item], seed: int) -> list[Output]:
    """One sample for each of `items`. Raises `UsageError` where the engine's answers are always the
    same ones."""
    if "temperature" not in engine.info.get("options", ()):
        raise UsageError("engines.no_samples", engine=engine.info.get("engine", "–"))
    options = {"temperature": _TEMPERATURE, "seed": seed}

    async def ask() -> list[Output]:
        found: list[Output] = []
        for item in items:
            async for chunk in engine.submit(EngineRequest([item], options=options)):
                if chunk.outputs:
                    found.append(chunk.outputs[0])
        return found

    return asyncio.run(ask())
