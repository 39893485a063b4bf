"""Answers of a version that learned from rows whose labels have been renamed or merged since.

Whoever renames ``bad`` to ``poor`` must not find the live version wrong in every such row: it is
judged by what its labels are called now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feilun.data.clean.recipe import Cleaning
from feilun.families.base import Answers, Family
from feilun.pipeline.context import Context
from feilun.store.records import DataVersion, ModelVersion

__all__ = ["renamed", "since"]


def since(context: Context, model: ModelVersion, data: DataVersion) -> list[Mapping[str, Any]]:
    """The cleanings that `data` went through after the rows that `model` learned from; none where
    it did not grow from them, or where they are not known."""
    now: Sequence[Mapping[str, Any]] = data.info.get("recipe", ())
    if not now or model.data_version is None:
        return []
    then = context.store.catalog.data_version(model.data_version).info.get("recipe", ())
    return list(now[len(then) :]) if list(now[: len(then)]) == list(then) else []


def renamed(family: Family, answers: Answers, cleanings: Sequence[Mapping[str, Any]]) -> Answers:
    """`answers` with their labels as they are called after `cleanings`."""
    passes = [Cleaning(**{k: v for k, v in row.items() if k != "vault"}) for row in cleanings]
    names = list(answers.labels)
    for one in passes:
        names = [one.label(name) for name in names]
    return family.renamed(answers, names)
