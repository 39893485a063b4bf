"""The part of evaluation that asks a version again, with the test rows changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from feilun.engines.base import Engine
from feilun.evaluation.robustness import Robustness
from feilun.evaluation.robustness import robustness as measure
from feilun.families.base import Answers
from feilun.pipeline.context import Context
from feilun.store.dataset import Dataset
from feilun.types import Item, Output

__all__ = ["robustness"]


_FEW = 20
"""Rows of a costly engine: each is asked again for every change."""


def robustness(
    context: Context,
    engine: Engine,
    asked: Callable[[Sequence[Item]], Answers],
    dataset: Dataset,
    given: Answers,
) -> Robustness | None:
    """How the variant that is served bears what the task knows to change; None where the settings
    or the task want none, and where another server would have to be asked, and paid. `asked`
    answers by that variant, `given` are its answers on the unchanged test rows."""
    settings = context.config.evaluation
    disturbances = context.task.disturbances()
    if not settings.robustness or not disturbances or engine.info.get("remote"):
        return None
    family, rows = context.task.family, settings.robustness_rows

    def decoded(answers: Answers) -> list[Output]:
        schema = replace(dataset.schema, labels=answers.labels)
        return family.decoder(schema, answers.point)(answers.raw, False)

    return measure(
        lambda items: decoded(asked(items)),
        dataset.items("test"),
        dataset.values("label", "test"),
        decoded(given),
        family,
        disturbances,
        limit=min(rows, _FEW) if engine.info.get("costly") else rows,
        confidence=settings.confidence,
        seed=context.config.training.seed,
    )
