"""What an evaluation tells beside the tables: the version's answers by its own rule, and money."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from feilun.config import EvaluationConfig
from feilun.errors import InvalidSettings
from feilun.evaluation.answers import Answers, align, label_space
from feilun.evaluation.choice import Choice, judge
from feilun.evaluation.founder import Money
from feilun.pipeline.context import Context
from feilun.store.records import ModelVersion

__all__ = ["money", "used"]


def used(
    context: Context,
    candidate: Answers,
    labels: tuple[str, ...],
    truth: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray] | None,
) -> Choice:
    """The candidate's answers as they are served, on the labelled test rows. `labels` are those
    that `truth` points into, `validation` the logits and truth of the validation rows.

    Raises `InvalidSettings` for a target that names a label which is not there.
    """
    settings = context.config.evaluation
    space = label_space(labels, [candidate])
    _known(settings, space)
    rows = truth >= 0
    held = None
    if validation is not None:
        logits, right = validation
        kept = right >= 0
        held = (align(replace(candidate, logits=logits[kept]), space), right[kept])
    return judge(
        align(candidate, space)[rows],
        truth[rows],
        space,
        candidate.rule,
        settings,
        held,
        context.config.training.seed,
    )


def _known(settings: EvaluationConfig, labels: tuple[str, ...]) -> None:
    for setting, label in (
        ("evaluation.target.label", settings.target.label),
        ("evaluation.costs.label", settings.costs.label),
    ):
        if label and label not in labels:
            raise InvalidSettings(
                "verdict.unknown_label", setting=setting, label=label, options=labels
            )


def money(context: Context, model: ModelVersion) -> Money | None:
    """What 1,000 answers cost by the chosen variant's measured speed; None before compression."""
    serving = context.config.serving
    rate = model.variants.get(model.variant or "", {}).get("throughput")
    if not rate:
        return None
    cost = serving.machine_per_hour / 3600 / rate * 1000
    return Money(cost, serving.price_per_1000, serving.currency)
