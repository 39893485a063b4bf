"""Rows of a table into one of the labels."""

from __future__ import annotations

from feilun.families.classes import CLASSES
from feilun.modalities import recognise
from feilun.modalities.table.task import Table, TableSettings
from feilun.types import Example

__all__ = ["Settings", "Task"]


class Settings(TableSettings):
    """The ``[task]`` table of a project that classifies rows."""


class Task(Table):
    """Which of the labels a row belongs to: will this customer leave, is this payment a fraud, is
    this loan paid back.

    The inputs are all columns of the file but the label: numbers, categories, dates, with missing
    values. The linear baseline is a logistic regression; above it stand boosted trees.
    """

    summary = "tasks.tabular_classification"
    family = CLASSES
    Settings = Settings
    label_aliases = (
        *recognise.LABEL,
        "churn", "churned", "default", "defaulted", "fraud", "outcome", "result", "status",
        "流失", "是否流失", "违约", "是否违约", "欺诈", "结果", "目标",
    )  # fmt: skip
    examples = (
        Example("1", {"months": 2.0, "contract": "monthly", "bill": 70.7}, "left"),
        Example("2", {"months": 58.0, "contract": "two years", "bill": 21.1}, "stayed"),
        Example("3", {"months": 31.0, "contract": "monthly", "bill": None}, "stayed"),
    )
