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
from feilun.store.records import ModelVersion
from feilun.types import Item, Output, Progress

__all__ = ["robustness", "rows_for"]


_FEW = 20
"""Rows of a costly engine, and of any at least: each is asked again for every change."""
_SECONDS = 60.0
"""For which a variant is asked at most, by its measured speed, where that leaves `_FEW` rows."""


def robustness(
    context: Context,
    model: ModelVersion,
    engine: Engine,
    asked: Callable[[Sequence[Item]], Answers],
    dataset: Dataset,
    given: Answers,
) -> Robustness | None:
    """How the variant that is served bears what the task knows to change; None where the settings
    or the task want none, and where another server would have to be asked, and paid. `asked`
    answers by that variant of `model`, `given` are its answers on the unchanged test rows. A slow
    one is asked for fewer rows."""
    settings = context.config.evaluation
    disturbances = context.task.disturbances()
    if not settings.robustness or not disturbances or engine.info.get("remote"):
        return None
    family = context.task.family
    rounds = sum(one.draws for one in disturbances.values() if one.safe)
    rate = model.variants.get(model.variant or "", {}).get("throughput")
    limit = rows_for(settings.robustness_rows, rounds, rate, bool(engine.info.get("costly")))
    done = 0

    def decoded(answers: Answers) -> list[Output]:
        schema = replace(dataset.schema, labels=answers.labels)
        return family.decoder(schema, answers.point)(answers.raw, False)

    def again(items: Sequence[Item]) -> list[Output]:
        nonlocal done
        context.report(Progress("evaluate", done, rounds))
        done += 1
        return decoded(asked(items))

    return measure(
        again,
        dataset.items("test"),
        dataset.values("label", "test"),
        decoded(given),
        family,
        disturbances,
        limit=limit,
        confidence=settings.confidence,
        seed=context.config.training.seed,
    )


def rows_for(wanted: int, rounds: int, rate: float | None, costly: bool) -> int:
    """How many rows are asked `rounds` times: `wanted` ones, fewer of a `costly` engine and of one
    whose `rate` of answers a second is low."""
    if costly:
        return min(wanted, _FEW)
    if not rate:
        return wanted
    return min(wanted, max(_FEW, int(_SECONDS * rate / max(1, rounds))))
