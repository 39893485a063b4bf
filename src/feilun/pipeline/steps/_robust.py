"""The part of evaluation that asks a version again, with the test rows changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from feilun.evaluation.answers import Answers
from feilun.evaluation.robustness import Robustness
from feilun.evaluation.robustness import robustness as measure
from feilun.metrics.probabilities import softmax
from feilun.metrics.rule import choose
from feilun.pipeline.context import Context
from feilun.store.dataset import Dataset
from feilun.types import Item

__all__ = ["robustness"]


def robustness(
    context: Context,
    asked: Callable[[Sequence[Item]], Answers],
    dataset: Dataset,
    given: Answers,
) -> Robustness | None:
    """How the variant that is served bears what the task knows to change; None where the settings
    or the task want none. `asked` answers by that variant, `given` are its answers on the unchanged
    test rows."""
    settings = context.config.evaluation
    disturbances = context.task.disturbances()
    if not settings.robustness or not disturbances:
        return None
    place = {label: index for index, label in enumerate(dataset.schema.labels)}
    known = np.array([place.get(label, -2) for label in given.labels])

    def answered(answers: Answers) -> np.ndarray:
        stated = softmax(answers.logits, answers.temperature)
        found: np.ndarray = known[choose(stated, answers.labels, answers.rule)[0]]
        return found

    return measure(
        lambda items: answered(asked(items)),
        dataset.items("test"),
        dataset.labels("test"),
        answered(given),
        disturbances,
        limit=settings.robustness_rows,
        confidence=settings.confidence,
        seed=context.config.training.seed,
    )
