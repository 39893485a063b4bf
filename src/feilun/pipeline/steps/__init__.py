"""The steps of a turn, one a file: each takes the context and references, gives references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from feilun.pipeline.steps.collect import collect
from feilun.pipeline.steps.compress import compress
from feilun.pipeline.steps.deploy import deploy
from feilun.pipeline.steps.evaluate import evaluate
from feilun.pipeline.steps.plan import plan
from feilun.pipeline.steps.reconsider import reconsider
from feilun.pipeline.steps.search import join, search
from feilun.pipeline.steps.train import train

__all__ = [
    "STEPS",
    "collect",
    "compress",
    "deploy",
    "evaluate",
    "join",
    "plan",
    "reconsider",
    "search",
    "train",
]

STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "collect": collect,
    "compress": compress,
    "deploy": deploy,
    "evaluate": evaluate,
    "plan": plan,
    "reconsider": reconsider,
    "search": search,
    "train": train,
}
