"""Rows of a table into a number."""

from __future__ import annotations

from feilun.families.numbers import NUMBERS
from feilun.modalities.table.task import Table, TableSettings
from feilun.types import Example

__all__ = ["Settings", "Task"]


class Settings(TableSettings):
    """The ``[task]`` table of a project that predicts a number for each row."""


class Task(Table):
    """Which number belongs to a row: what will this house cost, how many days until delivery, how
    much will this customer spend.

    The inputs are all columns of the file but the target: numbers, categories, dates, with missing
    values. The answer is a number with an interval. The linear baseline is a ridge regression;
    above it stand boosted trees.
    """

    summary = "tasks.tabular_regression"
    family = NUMBERS
    Settings = Settings
    label_aliases = (
        "target", "value", "amount", "price", "cost", "y", "score", "sales", "revenue", "quantity",
        "目标", "数值", "金额", "价格", "成本", "得分", "销量", "销售额", "数量",
    )  # fmt: skip
    examples = (
        Example("1", {"area": 54.0, "district": "north", "year": 1968.0}, "198000"),
        Example("2", {"area": 121.5, "district": "centre", "year": 2004.0}, "612500.5"),
        Example("3", {"area": 88.0, "district": "north", "year": None}, "305000"),
    )
